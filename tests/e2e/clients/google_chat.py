"""Gemini, with the options --vertex (at Vertex AI) and --stream (answers piece by piece)."""

import json
import sys

from google import genai
from google.oauth2.credentials import Credentials

streamed, vertex = "--stream" in sys.argv, "--vertex" in sys.argv
client = (
    genai.Client(
        vertexai=True,
        project="busted",
        location="us-central1",
        credentials=Credentials(token="a" * 40),  # type: ignore[no-untyped-call]
    )
    if vertex
    else genai.Client()
)
for prompt in (a for a in sys.argv[1:] if not a.startswith("--")):
    if streamed:
        chunks = client.models.generate_content_stream(model="gemini-2.5-flash", contents=prompt)
        print(json.dumps("".join(chunk.text or "" for chunk in chunks)))
    else:
        answer = client.models.generate_content(model="gemini-2.5-flash", contents=prompt)
        print(json.dumps(answer.text))
