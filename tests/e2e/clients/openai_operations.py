"""What OpenAI's models do beside chats: the first argument says what, the second is the text."""

import json
import sys

from openai import OpenAI

client = OpenAI(max_retries=0)


def embeddings(text: str) -> object:
    answer = client.embeddings.create(model="text-embedding-3-small", input=text)
    return len(answer.data[0].embedding)


def moderations(text: str) -> object:
    answer = client.moderations.create(model="omni-moderation-latest", input=text)
    return answer.results[0].categories.violence


def images(text: str) -> object:
    made = client.images.generate(model="gpt-image-1", prompt=text).data or []
    return made[0].revised_prompt


def speech(text: str) -> object:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=text
    ) as response:
        return len(response.read())


def transcriptions(text: str) -> object:
    sound = ("sound.wav", b"RIFF" + bytes(100), "audio/wav")
    return client.audio.transcriptions.create(model="whisper-1", file=sound, prompt=text).text


OPERATIONS = {
    function.__name__: function
    for function in (embeddings, moderations, images, speech, transcriptions)
}
print(json.dumps(OPERATIONS[sys.argv[1]](sys.argv[2])))
