"""What diffusers' own pipelines make of a prompt and of noise."""

import torch

from mvgen.core.guidance.folder import kind_of
from mvgen.core.guidance.network import read_prompts
from mvgen.core.progress import Silent
from tests.core.guidance import networks

PROMPT, NEGATIVE = "a hat, front view", "fog"


def texts(folder):
    found = read_prompts(folder, [PROMPT, NEGATIVE, PROMPT], "cpu", Silent())
    assert list(found) == [PROMPT, NEGATIVE]
    return found[PROMPT], found[NEGATIVE]


def pipeline(folder):
    """diffusers' own, for what is expected."""
    import diffusers

    if kind_of(folder) == "PixArtAlphaPipeline":
        from tokenizers.processors import TemplateProcessing
        from transformers import PreTrainedTokenizerFast, T5EncoderModel

        tokenizer = networks.unigram()
        tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")
        return diffusers.PixArtAlphaPipeline(
            words,
            T5EncoderModel.from_pretrained(folder / "text_encoder"),
            diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
            diffusers.PixArtTransformer2DModel.from_pretrained(folder / "transformer"),
            diffusers.DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler"),
        )
    return getattr(diffusers, kind_of(folder)).from_pretrained(folder, local_files_only=True)


def expected(folder, noisy, steps):
    """Noise for the negative prompt and for the prompt, by networks and prompts of diffusers' pipeline."""
    pipe, kind = pipeline(folder), kind_of(folder)
    both = torch.cat([noisy, noisy]), torch.cat([steps, steps])
    with torch.no_grad():
        if kind == "StableDiffusionPipeline":
            yes, no = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
            out = pipe.unet(*both, encoder_hidden_states=torch.cat([no, yes])).sample
        elif kind == "StableDiffusionXLPipeline":
            yes, no, pooled, pooled_no = pipe.encode_prompt(PROMPT, device="cpu", negative_prompt=NEGATIVE)
            ids = pipe._get_add_time_ids((32, 32), (0, 0), (32, 32), torch.float32, 16).repeat(2, 1)
            more = {"text_embeds": torch.cat([pooled_no, pooled]), "time_ids": ids}
            out = pipe.unet(*both, encoder_hidden_states=torch.cat([no, yes]), added_cond_kwargs=more).sample
        else:
            yes, mask, no, mask_no = pipe.encode_prompt(PROMPT, True, NEGATIVE, device="cpu")
            out = pipe.transformer(
                both[0],
                encoder_hidden_states=torch.cat([no, yes]),
                encoder_attention_mask=torch.cat([mask_no, mask]),
                timestep=both[1],
                added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            ).sample.chunk(2, 1)[0]
    return out.chunk(2)
