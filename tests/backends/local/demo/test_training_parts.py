"""The parts that training stands on: dice, optimiser, attention, tokens."""

import torch

from backends.local.demo import dice
from backends.local.demo.architecture import SHIFT, new_scheduler, new_transformer
from backends.local.demo.muon import Muon, orthogonal
from backends.local.demo.stages.attention import LeanAttention
from backends.local.demo.stages.flow import pack
from backends.local.demo.words_to_tokens import clip_tokenizer, t5_tokenizer


def test_loaded_noise_reads_back_its_dice_and_free_ones_stay() -> None:
    noise = torch.randn(4, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    wanted = torch.randn(4, dice.DICE, generator=torch.Generator().manual_seed(1))
    wanted[:, 3] = torch.nan
    got = dice.read(dice.load(noise, wanted))
    torch.testing.assert_close(got[:, :3], wanted[:, :3])
    torch.testing.assert_close(got[:, 3], dice.read(noise)[:, 3])


def test_dice_of_plain_noise_are_standard_normal() -> None:
    noise = torch.randn(4000, 8, 10, 18, generator=torch.Generator().manual_seed(2))
    values = dice.read(noise)
    assert values.mean().abs() < 0.03
    assert (values.std() - 1).abs() < 0.03
    assert torch.corrcoef(values.T).fill_diagonal_(0).abs().max() < 0.07


def test_orthogonal_evens_the_singular_values() -> None:
    for shape in ((3, 64, 32), (2, 20, 50)):
        matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
        values = torch.linalg.svdvals(orthogonal(matrices))
        assert values.min() > 0.4
        assert values.max() < 1.4


def test_muon_fits_a_matrix_and_stands_still_at_the_end_of_its_run() -> None:
    torch.manual_seed(4)
    layer, goal = torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)
    optimiser = Muon(layer.named_parameters(), 0.02, 1e-2)
    first = last = 0.0
    for step in range(200):
        rows = torch.randn(64, 16)
        loss = (layer(rows) - goal(rows)).square().mean()
        torch.autograd.backward(loss)
        optimiser.step(step / 200)
        first, last = first or loss.item(), loss.item()
    assert last < 0.02 * first
    torch.autograd.backward((layer(torch.randn(8, 16))).square().mean())
    before = layer.weight.clone()
    optimiser.step(1.0)
    assert torch.equal(layer.weight, before)


def test_lean_attention_is_the_attention_of_diffusers() -> None:
    torch.manual_seed(5)
    model = new_transformer()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    rows = {
        "hidden_states": torch.randn(2, 12, 32),
        "encoder_hidden_states": torch.randn(2, 16, 64),
        "pooled_projections": torch.randn(2, 64),
        "timestep": torch.tensor([0.3, 0.9]),
        "guidance": torch.tensor([1.0, 4.0]),
        "img_ids": torch.randint(0, 4, (12, 3)).float(),
        "txt_ids": torch.zeros(16, 3),
    }
    answers, gradients = [], []
    for lean in (False, True):
        if lean:
            model.set_attn_processor(LeanAttention())
        output = model(**rows, return_dict=False)[0]
        model.zero_grad()
        torch.autograd.backward(output.square().mean())
        answers.append(output.detach())
        gradients.append(model.transformer_blocks[0].attn.to_q.weight.grad.clone())
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


def test_packing_is_the_pipelines_own() -> None:
    from diffusers import FluxPipeline

    latents = torch.randn(2, 8, 10, 18)
    torch.testing.assert_close(pack(latents), FluxPipeline._pack_latents(latents, 2, 8, 10, 18))


def test_tokens_ignore_case_and_punctuation_and_mark_unknown_words() -> None:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    assert clip("A RED circle!").input_ids == clip("a red circle").input_ids
    unknown = t5.unk_token_id
    assert t5("a red zebra").input_ids.count(unknown) == 1
    long = "please " * 90 + "red"
    assert len(clip(long, truncation=True, max_length=77).input_ids) == 77


def test_the_schedule_spends_most_steps_on_noise() -> None:
    scheduler = new_scheduler()
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    expected = [SHIFT * s / (1 + (SHIFT - 1) * s) for s in (1.0, 0.75, 0.5, 0.25)]
    torch.testing.assert_close(scheduler.sigmas[:4], torch.tensor(expected))
