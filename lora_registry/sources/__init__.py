"""Where LoRAs come from: Hugging Face, Civitai, fal, any https address, the LoRA folder."""
