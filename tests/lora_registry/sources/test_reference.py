"""What people write to name a LoRA that is elsewhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_registry.sources.reference import (
    BadReference,
    CivitaiRef,
    FalRef,
    HuggingFaceRef,
    LocalRef,
    LoraReference,
    WebRef,
    parse_lora_reference,
)
from tests.lora_registry.sites import recorded

HF = "https://huggingface.co/ada/ink"
FAL = "https://v3b.fal.media/files/b/1_pytorch_lora_weights.safetensors"
AIR = "urn:air:flux1:lora:civitai:721805@843538"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada/ink", HuggingFaceRef("ada/ink")),
        (" ada/ink ", HuggingFaceRef("ada/ink")),
        ("hf:ada/ink@v2", HuggingFaceRef("ada/ink", "v2")),
        ("ada/ink@refs/pr/3", HuggingFaceRef("ada/ink", "refs/pr/3")),
        ("ada/ink:a b/ink.safetensors", HuggingFaceRef("ada/ink", None, "a b/ink.safetensors")),
        ("civitai/ink", HuggingFaceRef("civitai/ink")),
        (HF, HuggingFaceRef("ada/ink")),
        ("huggingface.co/ada/ink", HuggingFaceRef("ada/ink")),
        (f"{HF}/tree/main", HuggingFaceRef("ada/ink", "main")),
        (f"{HF}/tree/main/v2", HuggingFaceRef("ada/ink", "main", "v2/")),
        (f"{HF}/blob/main/ink%20wash.safetensors",
         HuggingFaceRef("ada/ink", "main", "ink wash.safetensors")),
        (f"{HF}/resolve/main/ink.safetensors?download=true",
         HuggingFaceRef("ada/ink", "main", "ink.safetensors")),
        (f"{HF}/resolve/refs/pr/3/ink.safetensors",
         HuggingFaceRef("ada/ink", "refs/pr/3", "ink.safetensors")),
        ("civitai:721805", CivitaiRef(721805)),
        ("civitai:721805@843538", CivitaiRef(721805, 843538)),
        ("civitai:@843538", CivitaiRef(None, 843538)),
        (AIR, CivitaiRef(721805, 843538)),
        (AIR.upper(), CivitaiRef(721805, 843538)),
        ("https://civitai.com/models/721805/glass-blown", CivitaiRef(721805)),
        ("https://civitai.com/models/721805?modelVersionId=843538", CivitaiRef(721805, 843538)),
        ("https://civitai.red/models/721805", CivitaiRef(721805, site="civitai.red")),
        ("https://civitai.com/api/download/models/843538?type=Model&fileId=758102",
         CivitaiRef(None, 843538, 758102)),
        ("https://civitai.com/api/v1/model-versions/843538", CivitaiRef(None, 843538)),
        (FAL, FalRef(FAL)),
        (f"{FAL} https://v3b.fal.media/files/b/config.json",
         FalRef(FAL, "https://v3b.fal.media/files/b/config.json")),
        (json.dumps({"diffusers_lora_file": {"url": FAL}}), FalRef(FAL)),
        ("https://files.example/ink.safetensors", WebRef("https://files.example/ink.safetensors")),
        ("https://huggingface.co.files.example/a/b", WebRef("https://huggingface.co.files.example/a/b")),
        ("./ink.safetensors", LocalRef("./ink.safetensors")),
        ("styles/ink.safetensors", LocalRef("styles/ink.safetensors")),
        ("/data/loras/ink.safetensors", LocalRef("/data/loras/ink.safetensors")),
    ],
)  # fmt: skip
def test_every_form_is_read_as_what_it_means(text: str, expected: LoraReference) -> None:
    assert parse_lora_reference(text) == expected


def test_the_whole_answer_of_a_fal_trainer_names_both_of_its_files() -> None:
    files = recorded("fal_trainer")["payload"]
    expected = FalRef(files["diffusers_lora_file"]["url"], files["config_file"]["url"])
    assert parse_lora_reference(json.dumps(recorded("fal_trainer"))) == expected
    assert parse_lora_reference(json.dumps(files)) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "names no LoRA"),
        ("dreamy", "Use owner/name of a Hugging Face repository"),
        ("721805", "Did you mean civitai:721805?"),
        ("ada/ink/v2/ink", "Did you mean ada/ink:v2/ink.safetensors?"),
        ("files.example/loras/ink", "Did you mean https://files.example/loras/ink?"),
        ("ada/ink:ink.ckpt", "no .safetensors file"),
        ("ada/ink:../x.safetensors", "no path of a file in ada/ink"),
        ("ada/ink@a..b", "no revision"),
        ("ada/in--k", "no name of a Hugging Face repository"),
        ("https://huggingface.co/datasets/ada/ink", "datasets, not of a model"),
        ("https://huggingface.co/ada", "no address of a model on Hugging Face"),
        (f"{HF}/discussions/1", "shows no files"),
        (f"{HF}/blob/main/README.md", "no .safetensors file"),
        ("civitai:ink", "no id of Civitai"),
        ("civitai:0", "no id of Civitai"),
        ("urn:air:flux1:checkpoint:civitai:618692@691639", "a checkpoint, not of a LoRA"),
        ("https://civitai.com/user/ada", "https://civitai.com/models/12345"),
        ("https://user:pass@files.example/a.safetensors", "user name"),
        ("https://[bad/a.safetensors", "typos"),
        ("file:///data/ink.safetensors", "Give the path itself"),
        ('{"images": []}', "diffusers_lora_file.url"),
        ('{"diffusers_lora_file": ', "diffusers_lora_file.url"),
        ("https://a.example/1 https://a.example/2 https://a.example/3", "one address, or the two"),
    ],
)
def test_what_names_no_place_is_refused_with_what_to_write_instead(text: str, advice: str) -> None:
    with pytest.raises(BadReference) as error:
        parse_lora_reference(text)
    assert advice in str(error.value)
    assert str(error.value)[-1] in ".?"


def test_an_address_is_not_shown_with_the_token_it_may_hold() -> None:
    assert "hunter2" not in repr(parse_lora_reference("https://files.example/a?token=hunter2"))


part = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,20}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda text: ".." not in text and "--" not in text and not text.endswith(".git")
)
number = st.integers(1, 10**12 - 1)
hugging_face = st.builds(
    HuggingFaceRef,
    st.builds("{}/{}".format, part, part).filter(lambda repo: not repo.endswith(".safetensors")),
    st.none() | part,
    st.none() | st.builds("{}/{}.safetensors".format, part, part) | st.builds("{}/".format, part),
)
civitai = st.builds(
    CivitaiRef,
    st.none() | number,
    number,
    st.none() | number,
    st.sampled_from(["civitai.com", "civitai.red"]),
)
web = st.builds("https://files.example/{}.safetensors?{}".format, part, part).map(WebRef)


@given(hugging_face | civitai | web)
def test_what_is_written_is_read_back_the_same(reference: LoraReference) -> None:
    assert parse_lora_reference(str(reference)) == reference


pieces = st.sampled_from(
    ["ada", "/", ":", "@", "https://", "huggingface.co", "civitai.com", "models", "urn:air:", "..",
     "tree", "?", "=", " ", "\n", "12", "{", "}", '"', ".safetensors", "%2F", "[", "~", "\u202e"]
)  # fmt: skip


@given(st.text(max_size=60) | st.lists(pieces, max_size=14).map("".join))
def test_any_text_is_a_reference_or_refused_with_one_printable_sentence(text: str) -> None:
    reference = read(text)
    if isinstance(reference, str):
        assert reference.isprintable()
        assert 0 < len(reference) < 500
    else:
        assert read(str(reference)) == reference


def read(text: str) -> LoraReference | str:
    try:
        return parse_lora_reference(text)
    except BadReference as error:
        return str(error)
