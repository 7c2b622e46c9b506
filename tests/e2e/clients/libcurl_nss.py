"""libcurl on NSS, called by ctypes; its answer goes to standard output as it comes."""

import ctypes
import json
import os
import sys

URL, POST_FIELDS, HEADERS, VERIFY_PEER = 10002, 10015, 10023, 64  # curl.h

library = ctypes.CDLL("libcurl-nss.so.4")
library.curl_easy_init.restype = library.curl_slist_append.restype = ctypes.c_void_p
easy = ctypes.c_void_p(library.curl_easy_init())

for prompt in sys.argv[1:]:
    headers = None
    for header in (
        "content-type: application/json",
        f"authorization: Bearer {os.environ['OPENAI_API_KEY']}",
    ):
        headers = ctypes.c_void_p(library.curl_slist_append(headers, header.encode()))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    fields = ctypes.c_char_p(json.dumps(body).encode())
    url = ctypes.c_char_p(b"https://api.openai.com/v1/chat/completions")
    library.curl_easy_setopt(easy, URL, url)
    library.curl_easy_setopt(easy, HEADERS, headers)
    library.curl_easy_setopt(easy, POST_FIELDS, fields)
    # NSS reads no files of certificates by itself, only its own databases.
    library.curl_easy_setopt(easy, VERIFY_PEER, ctypes.c_long(0))
    if code := library.curl_easy_perform(easy):
        sys.exit(f"libcurl ended with {code}")
