/* SPDX-License-Identifier: GPL-2.0 */
/* Looking for words in paths and arguments, by hash (hash_word() in records.py).
 *
 * What ends a word is multiplied away instead of branched around: the verifier follows every way
 * through a loop, and this leaves it few of them.
 */
#ifndef BUSTED_WORDS_H
#define BUSTED_WORDS_H

#include "common.h"

/* 1 or 0, and a number of which the verifier knows no more than that. */
static __always_inline __u64 differ(__u64 one, __u64 other)
{
	__u64 difference = one ^ other;

	barrier_var(difference);
	difference = (difference | -difference) >> 63;
	barrier_var(difference);
	return difference;
}

static __always_inline bool is_word(void *words, __u64 word)
{
	return bpf_map_lookup_elem(words, &word);
}

/* Words stand between slashes and NULs; what ends with neither is none. With `dots` the beginning of one, up to a dot, is a word
 * too, and so is its end from the last dot on. */
static __always_inline bool has_word(void *words, const char *text, __u32 length, const bool dots)
{
	__u64 word = 0, suffix = 0, letter, goes_on, no_dot;

	for (__u32 i = 0; i < MAX_PATH && i < length; i++) {
		letter = (__u8)text[i];
		goes_on = differ(letter, 0) & differ(letter, '/');
		no_dot = differ(letter, '.');
		if (!(dots ? goes_on & no_dot : goes_on) &&
		    (is_word(words, word) || (dots && is_word(words, suffix))))
			return true;
		word = (word * WORD_FACTOR + letter) * goes_on;
		suffix = (suffix * no_dot * WORD_FACTOR + letter) * goes_on;
	}
	return false;
}

#endif
