/* SPDX-License-Identifier: GPL-2.0 */
/* Looking for words in paths and arguments, by hash (hash_word() in records.py).
 *
 * What ends a word is masked away instead of branched around: the verifier follows every way
 * through a loop, and this leaves it few of them.
 */
#ifndef BUSTED_WORDS_H
#define BUSTED_WORDS_H

#include "common.h"

/* 1 for zero, else 0; without a branch, which would double what an old verifier has to follow. */
static __always_inline __u64 is_zero(__u8 byte)
{
	return ((__u64)byte - 1) >> 63;
}

static __always_inline bool is_word(void *words, __u64 word)
{
	return bpf_map_lookup_elem(words, &word);
}

/* Words stand between slashes and NULs; what ends with neither is none. With `dots` the beginning
 * of one, up to a dot, is a word too, and so is its end from the last dot on. */
static __always_inline bool has_word(void *words, const char *text, __u32 length, const bool dots)
{
	__u64 word = 0, suffix = 0, before, tail, ends, dot;
	__u8 byte;

	for (__u32 i = 0; i < MAX_PATH && i < length; i++) {
		byte = text[i];
		before = word;
		ends = is_zero(byte) | is_zero(byte ^ '/');
		word = (word * WORD_FACTOR + byte) & (ends - 1);
		/* Else the compiler makes branches of it after all. */
		barrier_var(word);
		if (dots) {
			dot = is_zero(byte ^ '.');
			tail = suffix;
			suffix = ((suffix & (dot - 1)) * WORD_FACTOR + byte) & (ends - 1);
			barrier_var(suffix);
			if ((ends | dot) && (is_word(words, before) || is_word(words, tail)))
				return true;
		} else if (ends && is_word(words, before)) {
			return true;
		}
	}
	return false;
}

#endif
