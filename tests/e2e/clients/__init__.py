"""Programs as people write them, with the SDKs' default settings; none knows it is tested.

Each takes its prompts as arguments, or one prompt on stdin when there is none, and prints one
line of JSON per prompt: the answer. Their keys come from the environment, as usual.
"""
