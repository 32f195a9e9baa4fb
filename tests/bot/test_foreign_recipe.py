"""What A1111 and ComfyUI left in a picture fills a form; nonsense fills nothing, cheaply."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.foreign_recipe import ForeignLora, ForeignRecipe, clean, parse_comfy, parse_infotext

# --- A1111 ------------------------------------------------------------------------------------

A1111 = """masterpiece, a girl with <lora:Ghibli v2:0.8> hat, (cat:1.2) <lora:detail:-0.5:0.3>
second line
Negative prompt: blurry, Steps: 9, ugly
bad hands
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 3141592653, Size: 832x1216, \
Model hash: 6ce0161689, Model: v1-5, pruned, VAE: "a, b: c", Clip skip: 2, \
Lora hashes: "Ghibli v2: 9f7b4e1c2d3a, detail: e3b0c44298fc", Version: v1.9.4"""

FORGE = """a lighthouse<lora:flux_realism:1>
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, \
Seed: 7, Size: 896x1152, Model hash: bea01d51bd, Model: flux1-dev-bnb-nf4-v2, Version: f2.0.1"""


def test_an_a1111_text_gives_all_that_a_form_holds() -> None:
    assert parse_infotext(A1111) == ForeignRecipe(
        source="a1111",
        prompt="masterpiece, a girl with  hat, (cat:1.2) \nsecond line",
        model="v1-5",
        seed=3_141_592_653,
        steps=30,
        guidance=7.5,
        width=832,
        height=1216,
        loras=(
            ForeignLora(name="Ghibli v2", scale=0.8, hash="9f7b4e1c2d3a"),
            ForeignLora(name="detail", scale=-0.5, hash="e3b0c44298fc"),
        ),
    )


def test_the_distilled_scale_of_flux_is_its_guidance() -> None:
    found = parse_infotext(FORGE)
    assert found is not None
    assert found.guidance == 3.5
    assert found.loras == (ForeignLora(name="flux_realism"),)
    assert found.prompt == "a lighthouse"


@pytest.mark.parametrize(
    ("text", "loras"),
    [
        ("<lora:a>", [("a", 1.0)]),
        ("<lora:a:>", [("a", 1.0)]),
        ("<lora:a:.5><lora:b:2>", [("a", 0.5), ("b", 2.0)]),
        ("<lora:folder/a b-c.v2:1.25>", [("folder/a b-c.v2", 1.25)]),
        ("<lora:a:unet=1>", [("a", 1.0)]),
        ("<lora:a:900>", [("a", 1.0)]),
        ("<lora:>, <lora:a:1 and more", []),
    ],
)
def test_loras_are_read_from_their_tags(text: str, loras: list[tuple[str, float]]) -> None:
    found = parse_infotext(f"{text}\nSteps: 1, Seed: 2, Size: 3x4")
    assert found is not None
    assert [(lora.name, lora.scale) for lora in found.loras] == loras


def test_a_lora_that_only_the_hashes_name_is_one_too() -> None:
    found = parse_infotext('x\nSteps: 1, Seed: 2, Lora hashes: "a: 0123456789, b: no hash"')
    assert found is not None
    assert found.loras == (ForeignLora(name="a", hash="0123456789"),)


@pytest.mark.parametrize(
    ("settings", "empty"),
    [
        ("Seed: -1, Steps: 3, CFG scale: 2", "seed"),
        (f"Seed: {2**63}, Steps: 3, CFG scale: 2", "seed"),
        (f"Seed: {'1' * 5000}, Steps: 3, CFG scale: 2", "seed"),
        ("Seed: 1, Steps: 0, CFG scale: 2", "steps"),
        ("Seed: 1, Steps: 3.5, CFG scale: 2", "steps"),
        ("Seed: 1, Steps: 3, CFG scale: nan", "guidance"),
        ("Seed: 1, Steps: 3, CFG scale: 1e999", "guidance"),
        ("Seed: 1, Steps: 3, Size: 0x512", "width"),
        ("Seed: 1, Steps: 3, Size: 512x99999999", "height"),
    ],
)
def test_a_value_that_no_form_could_hold_is_left_out(settings: str, empty: str) -> None:
    found = parse_infotext(f"a fox\n{settings}")
    assert found is not None
    assert getattr(found, empty) is None
    assert found.prompt == "a fox"


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "my holiday", "a fox, red: yes, blue: no, green: maybe", "Negative prompt: x"],
)
def test_a_text_without_settings_is_no_recipe(text: str) -> None:
    assert parse_infotext(text) is None


def test_lines_of_other_programs_behind_the_settings_do_no_harm() -> None:
    found = parse_infotext(f"{FORGE}\nTemplate: a __thing__\nMade with love")
    assert found is not None
    assert (found.prompt, found.seed) == ("a lighthouse", 7)


@pytest.mark.timeout(20)  # minutes if the time were quadratic
@pytest.mark.parametrize(
    "text",
    [
        "Steps: 1, " * 100_000,
        'Steps: "' + '\\"' * 30_000,
        "Steps:" + " " * 1_000_000,
        "a " * 30_000,
        "a: " * 20_000,
        '"a: "' * 13_000,
        "<lora:" * 150_000 + "\nSteps: 1, Seed: 1, Size: 1x1",
        "<lora:a:1>" * 100_000 + "\nSteps: 1, Seed: 1, Size: 1x1",
        "Steps:\n" * 150_000,
        "x\nSteps: 1, Seed: 1, Lora hashes: \"" + "a: 012345, " * 5_000 + '"',
    ],
)  # fmt: skip
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    found = parse_infotext(text)
    assert found is None or len(found.loras) <= 64


@given(st.text() | st.from_regex(r"(\w+: [^,]*, ){3,9}", fullmatch=True))
def test_no_text_raises(text: str) -> None:
    parse_infotext(f"{text}\nSteps: {text}, Seed: {text}, Size: {text}, Lora hashes: {text}")


# --- ComfyUI ----------------------------------------------------------------------------------


def node(kind: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


FLUX = {
    "5": node("EmptySD3LatentImage", width=1024, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a fox in the snow", clip=["11", 0]),
    "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    "10": node("VAELoader", vae_name="ae.safetensors"),
    "11": node("DualCLIPLoader", clip_name1="t5xxl", clip_name2="clip_l", type="flux"),
    "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0],
        latent_image=["5", 0],
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1, model=["30", 0]),
    "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
    "25": node("RandomNoise", noise_seed=219670278747233),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "30": node("ModelSamplingFlux", max_shift=1.15, width=64, height=64, model=["41", 0]),
    "40": node("LoraLoader", lora_name="styles\\ink.safetensors", strength_model=0.7,
               strength_clip=1, model=["12", 0], clip=["11", 0]),
    "41": node("LoraLoaderModelOnly", lora_name="add/detail.safetensors", strength_model=-0.5,
               model=["40", 0]),
}  # fmt: skip

CLASSIC = {
    "3": node("KSampler", seed=42, steps=28, cfg=6.5, sampler_name="euler", model=["4", 0],
              positive=["6", 0], negative=["7", 0], latent_image=["5", 0]),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=640),
    "6": node("CLIPTextEncode", text=["50", 0], clip=["4", 1]),
    "7": node("CLIPTextEncode", text="ugly", clip=["4", 1]),
    "50": node("PrimitiveStringMultiline", value="an owl"),
}  # fmt: skip


def test_the_flux_workflow_gives_all_that_a_form_holds() -> None:
    assert parse_comfy(json.dumps(FLUX)) == ForeignRecipe(
        source="comfyui",
        prompt="a fox in the snow",
        model="flux1-dev.safetensors",
        seed=219670278747233,
        steps=20,
        guidance=3.5,
        width=1024,
        height=768,
        loras=(ForeignLora(name="ink", scale=0.7), ForeignLora(name="detail", scale=-0.5)),
    )


def test_the_classic_workflow_is_read_without_its_negative_prompt() -> None:
    for graph in (CLASSIC, dict(reversed(CLASSIC.items()))):
        found = parse_comfy(json.dumps(graph))
        assert found is not None
        assert (found.prompt, found.seed, found.steps, found.guidance) == ("an owl", 42, 28, 6.5)
        assert (found.width, found.height, found.model) == (512, 640, "sd.safetensors")


def test_the_pass_that_starts_from_noise_counts_not_the_one_that_refines() -> None:
    refine = node("KSampler", seed=1, steps=8, cfg=1, model=["4", 0], positive=["6", 0],
                  negative=["7", 0], latent_image=["60", 0])  # fmt: skip
    graph = {"1": refine, "60": node("LatentUpscale", width=9, height=9, samples=["3", 0])}
    found = parse_comfy(json.dumps({**graph, **CLASSIC}))
    assert found is not None
    assert (found.seed, found.steps, found.width) == (42, 28, 512)


def test_flux_2_and_flux_text_nodes_are_read() -> None:
    graph = {
        **FLUX,
        "5": node("EmptyFlux2LatentImage", width=["70", 0], height=1024),
        "6": node("CLIPTextEncodeFlux", clip_l="fox", t5xxl="a long fox", guidance=2.5),
        "17": node("Flux2Scheduler", steps=["71", 0], width=1, height=1),
        "26": node("ReferenceLatent", conditioning=["6", 0], latent=["5", 0]),
        "70": node("PrimitiveInt", value=1280),
        "71": node("PrimitiveInt", value=12),
    }
    found = parse_comfy(json.dumps(graph))
    assert found is not None
    assert (found.prompt, found.guidance, found.steps) == ("a long fox", 2.5, 12)
    assert (found.width, found.height) == (1280, 1024)


def test_a_stack_of_loras_is_read_and_what_is_switched_off_left_out() -> None:
    stack = node(
        "Power Lora Loader (rgthree)",
        lora_1={"on": True, "lora": "a.safetensors", "strength": 0.4},
        lora_2={"on": False, "lora": "b.safetensors", "strength": 1},
        lora_3={"on": True, "lora": "None", "strength": 1},
        model=["4", 0],
    )
    sampler = {**CLASSIC["3"], "inputs": {**CLASSIC["3"]["inputs"], "model": ["80", 0]}}
    found = parse_comfy(json.dumps({**CLASSIC, "3": sampler, "80": stack}))
    assert found is not None
    assert found.loras == (ForeignLora(name="a", scale=0.4),)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "{", '"x"', "NaN", "[" * 500_000, '{"a":' * 100_000,
        '{"nodes": [], "links": []}', json.dumps({"1": node("SaveImage", images=["2", 0])}),
        '{"1": {"class_type": "KSampler", "inputs": {"latent_image": 1, "seed": '
        + "9" * 5_000 + "}}}",
        json.dumps({"1": node("KSampler", latent_image=["1", 0], model=["1", 0], seed=["1", 0])}),
        json.dumps({str(n): node("Sampler", latent_image=[str(n + 1), 0]) for n in range(6_000)}),
    ],
)  # fmt: skip
def test_a_graph_that_samples_nothing_readable_is_no_recipe(text: str) -> None:
    assert parse_comfy(text) is None


@pytest.mark.timeout(20)  # minutes if every path were walked
def test_a_tangled_graph_is_walked_once() -> None:
    links = {f"in{n}": [str(n), 0] for n in range(300)}
    graph = {str(n): node("Mix", **links) for n in range(300)}
    graph |= {f"s{n}": node("KSampler", latent_image=["0", 0], seed=n) for n in range(2_000)}
    found = parse_comfy(json.dumps(graph))
    assert found == ForeignRecipe(source="comfyui", seed=0)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
links = st.tuples(st.sampled_from("123"), st.just(0)).map(list)
inputs = st.dictionaries(
    st.sampled_from(["seed", "steps", "cfg", "guidance", "text", "width", "height", "model",
                     "latent_image", "lora_name", "strength_model", "lora_1", "value"]),
    scalars | links | st.dictionaries(st.sampled_from(["on", "lora", "strength"]), scalars),
)  # fmt: skip
nodes = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from(["KSampler", "EmptyLatentImage", "CLIPTextEncode", "Lora"]),
        "inputs": inputs,
    }
)


@given(st.dictionaries(st.sampled_from("123"), nodes | scalars))
def test_no_graph_raises(graph: dict[str, object]) -> None:
    parse_comfy(json.dumps(graph))


@given(st.text())
def test_no_text_raises_as_a_graph(text: str) -> None:
    parse_comfy(text)


def test_clean_text_keeps_what_people_write_and_drops_what_hides() -> None:
    kept = "tab\t, line\n, 👩‍🚀, café, עברית"
    assert clean(kept) == kept
    assert clean("a\r\nb\rc\x00\x1b\u202ed\ud800\x9f") == "a\nb\ncd"
