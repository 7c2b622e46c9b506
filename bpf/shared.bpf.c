// SPDX-License-Identifier: GPL-2.0
/* The maps that all objects share, without any program: see common.h. */
#include "common.h"

char LICENSE[] SEC("license") = "GPL";
