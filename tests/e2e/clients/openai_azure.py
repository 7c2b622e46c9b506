"""A deployment at Azure, which has a host and a path of its own."""

import json
import sys

from openai import AzureOpenAI

client = AzureOpenAI(
    azure_endpoint="https://busted.openai.azure.com", api_version="2024-10-21", max_retries=0
)
for prompt in sys.argv[1:]:
    completion = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
    )
    print(json.dumps(completion.choices[0].message.content))
