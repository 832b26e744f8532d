"""Pictures judged by diffusion models: views and prompts, score distillation, and the models themselves."""
