"""``planner.make``: the GGUF file of a plan, by llama.cpp's programs."""

from planner.lab.verifying.make import make as make
