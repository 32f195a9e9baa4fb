"""What is known of a LoRA before its download, from recorded answers of real form."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lora_registry.fetch import AddressRefused, FetchError, FetchRules, NotFetched
from lora_registry.models import (
    CivitaiSource,
    FalSource,
    HttpsSource,
    HuggingFaceSource,
    LocalSource,
    LoraFlag,
    TriggerSet,
)
from lora_registry.sources.candidate import (
    ChooseFile,
    NotThere,
    NotUsable,
    SourceError,
    trigger_sets,
)
from lora_registry.sources.huggingface import choose_file
from lora_registry.sources.places import Places
from lora_registry.sources.reference import HuggingFaceRef
from lora_registry.weights import Damaged, Family, NotSafetensors
from tests.lora_registry import loras
from tests.lora_registry.sites import File, Internet, answer, lora_bytes, recorded
from tests.lora_registry.web import Page, moved, page

COMMIT = recorded("huggingface_lora")["sha"]
INK = f"/ada/ink-wash-flux/resolve/{COMMIT}/ink-wash.safetensors"
INK_SHA = "b1f0c4d2e6a8937564fedcba0123456789abcdef0123456789abcdef01234567"
API = "/api/models/ada/ink-wash-flux/revision/main"
GLASS = "/api/download/models/843538"
GLASS_SHA = "c0ffee0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
SDXL = {
    f"down_blocks.1.attentions.0.transformer_blocks.{i}.attn2.to_k": (2048, 640) for i in range(2)
}
TOKENS = {"https://huggingface.co": "hf_secret", "https://civitai.com": "civitai-secret"}

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def places(web: Internet, tmp_path: Path) -> Places:
    return Places(web.fetcher(tokens=TOKENS), [tmp_path])


def serve_ink(web: Internet, change: Change = lambda _: None, file: Page | None = None) -> None:
    document = recorded("huggingface_lora")
    change(document)
    web.serve(API, answer(document))
    web.serve(INK, moved("https://cdn-lfs-us-1.hf.co/repos/ink?X-Amz-Signature=1"))
    web.serve("/repos/ink", file or File(lora_bytes("ink")))


def serve_glass(
    web: Internet,
    change: Change = lambda _: None,
    model: Change = lambda _: None,
    file: Page | None = None,
) -> None:
    version, whole = recorded("civitai_version"), recorded("civitai_model")
    change(version)
    model(whole)
    web.serve("/api/v1/model-versions/843538", answer(version))
    web.serve("/api/v1/models/721805", answer(whole))
    web.serve(GLASS, moved("https://b2.civitai.com/file/glass?Authorization=1", status=307))
    web.serve("/file/glass", file or File(lora_bytes("glass")))


# --- Hugging Face -----------------------------------------------------------------------------


async def test_a_hugging_face_file_is_pinned_to_its_commit_with_all_that_its_card_says(
    web: Internet, places: Places
) -> None:
    serve_ink(web)
    found = await places.describe("ada/ink-wash-flux")
    assert found.source == HuggingFaceSource(
        repo="ada/ink-wash-flux", commit=COMMIT, file="ink-wash.safetensors"
    )
    assert found.sha256 == INK_SHA
    assert found.size == len(lora_bytes("ink"))
    assert found.title == "ink-wash-flux"
    assert found.licence == "flux-1-dev-non-commercial-license"
    assert found.triggers == (TriggerSet(words=("INKWSH", "ink wash painting")),)
    assert (found.family, found.info.ranks, found.flags) == (Family.FLUX_1, (1,), frozenset())
    record = found.record("ink-wash", INK_SHA)
    assert (record.rank, record.layout, record.nsfw) == (1, found.info.layout, 0)


async def test_our_token_goes_to_hugging_face_and_not_to_its_content_network(
    web: Internet, places: Places
) -> None:
    serve_ink(web)
    await places.describe("ada/ink-wash-flux")
    tokens = {one.headers["host"]: one.headers.get("authorization") for one in web.site.requests}
    assert tokens == {"huggingface.co": "Bearer hf_secret", "cdn-lfs-us-1.hf.co": None}


async def test_a_revision_is_asked_for_as_one_word(web: Internet, places: Places) -> None:
    serve_ink(web)
    web.serve("/api/models/ada/ink-wash-flux/revision/refs%2Fpr%2F3", web.site.pages[API])
    assert (await places.describe("ada/ink-wash-flux@refs/pr/3")).sha256 == INK_SHA


async def test_a_renamed_repository_is_pinned_under_its_new_name(
    web: Internet, places: Places
) -> None:
    serve_ink(web)
    web.serve("/api/models/ada/old/revision/main", moved(f"{API}?blobs=true", status=307))
    source = (await places.describe("ada/old")).source
    assert isinstance(source, HuggingFaceSource)
    assert source.repo == "ada/ink-wash-flux"


@pytest.mark.parametrize(("status", "words"), [(401, "HF_TOKEN"), (404, "Check the name")])
async def test_a_repository_that_is_not_shown_to_us_is_explained(
    web: Internet, places: Places, status: int, words: str
) -> None:
    web.serve(API, page(b'{"error":"Repository not found"}', status=status))
    with pytest.raises(NotThere, match=words):
        await places.describe("ada/ink-wash-flux")


async def test_a_card_for_adults_raises_the_level(web: Internet, places: Places) -> None:
    serve_ink(web, lambda one: one["tags"].append("not-for-all-audiences"))
    assert (await places.describe("ada/ink-wash-flux")).claims.nsfw == 3


@pytest.mark.parametrize("document", [[], {"id": "a/b"}, {"sha": "x", "siblings": 3}])
async def test_an_answer_of_another_form_is_no_crash(
    web: Internet, places: Places, document: object
) -> None:
    web.serve(API, answer(document))
    with pytest.raises(NotThere):
        await places.describe("ada/ink-wash-flux")


@pytest.mark.parametrize(
    ("files", "wanted", "chosen"),
    [
        (["a.safetensors"], None, "a.safetensors"),
        (["a.safetensors", "checkpoint-500/a.safetensors"], None, "a.safetensors"),
        (["v/a.safetensors"], None, "v/a.safetensors"),
        (["v1/a.safetensors", "v2/a.safetensors"], "v2/", "v2/a.safetensors"),
        (["ink.safetensors", "ink_000000250.safetensors", "ink-step500.safetensors"], None,
         "ink.safetensors"),
        (["comfy.safetensors", "pytorch_lora_weights.safetensors"], None,
         "pytorch_lora_weights.safetensors"),
        (["a.safetensors", "b.safetensors"], "b.safetensors", "b.safetensors"),
    ],
)  # fmt: skip
def test_one_file_of_several_is_chosen_by_rule(
    files: list[str], wanted: str | None, chosen: str
) -> None:
    assert choose_file(HuggingFaceRef("a/b", None, wanted), {name: {} for name in files}) == chosen


def test_where_several_files_could_be_meant_the_choices_can_be_typed() -> None:
    files: dict[str, dict[str, Any]] = {f"{name}.safetensors": {} for name in "ba"}
    with pytest.raises(ChooseFile, match=r"Choose one: a/b@v2:a\.safetensors, a/b@v2:b") as error:
        choose_file(HuggingFaceRef("a/b", "v2"), files)
    assert error.value.choices == ("a/b@v2:a.safetensors", "a/b@v2:b.safetensors")


def test_a_file_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(NotThere, match=r"no file x\.safetensors in a/b\. It has: y\.safetensors"):
        choose_file(HuggingFaceRef("a/b", None, "x.safetensors"), {"y.safetensors": {}})


JUNK: tuple[object, ...] = (-3, "\\x\u202e", [7])


def spoilt(document: Any) -> Iterator[Any]:
    """The document with each of its values replaced by each kind of junk, one at a time."""
    places = list(document.items()) if isinstance(document, dict) else list(enumerate(document))
    for key, value in places:
        for junk in JUNK:
            document[key] = junk
            yield
        document[key] = value
        if isinstance(value, dict | list):
            yield from spoilt(value)


async def test_no_junk_in_an_answer_of_hugging_face_is_a_crash(
    web: Internet, places: Places
) -> None:
    document = recorded("huggingface_lora")
    document = {key: document[key] for key in ("id", "sha", "tags", "cardData", "siblings")}
    document["cardData"].pop("widget")
    document["siblings"] = document["siblings"][-1:]
    outcomes: Counter[str] = Counter()
    serve_ink(web)
    for _ in spoilt(document):
        web.serve(API, answer(document))
        outcomes[await outcome(places, "ada/ink-wash-flux")] += 1
    assert set(outcomes) == {"described", "refused"}


async def test_no_junk_in_an_answer_of_civitai_is_a_crash(web: Internet, places: Places) -> None:
    version, model = recorded("civitai_version"), recorded("civitai_model")
    version = {
        key: version[key]
        for key in ("id", "modelId", "name", "nsfwLevel", "trainedWords", "baseModel", "files")
    }
    version["files"] = version["files"][1:]
    for key in ("modelVersions", "stats", "creator", "description"):
        del model[key]
    serve_glass(web)
    outcomes: Counter[str] = Counter()
    for _ in chain(spoilt(version), spoilt(model)):
        web.serve("/api/v1/model-versions/843538", answer(version))
        web.serve("/api/v1/models/721805", answer(model))
        outcomes[await outcome(places, "civitai:@843538")] += 1
    assert set(outcomes) == {"described", "refused"}


async def outcome(places: Places, reference: str) -> str:
    try:
        found = await places.describe(reference)
    except (SourceError, FetchError) as error:
        return "refused" if str(error).isprintable() else "refused unreadably"
    found.record("a-name", INK_SHA)
    return "described"


# --- Civitai ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "https://civitai.com/models/721805/glass-blown?modelVersionId=843538",
        "https://civitai.com/models/721805",
        "urn:air:flux1:lora:civitai:721805@843538",
        "https://civitai.com/api/download/models/843538",
    ],
)
async def test_a_civitai_version_is_pinned_with_its_terms_and_words(
    web: Internet, places: Places, reference: str
) -> None:
    serve_glass(web)
    found = await places.describe(reference)
    assert found.source == CivitaiSource(model=721805, version=843538, file=758102)
    assert found.sha256 == GLASS_SHA
    assert found.title == "Glass Blown – v2.0 Flux"
    assert found.triggers == (
        TriggerSet(words=("glssblwn", "blown glass")),
        TriggerSet(name="set-2", words=("stained glass", "lead lines")),
    )
    assert found.claims.nsfw == 1
    assert found.flags == {LoraFlag.NON_COMMERCIAL}
    assert found.licence == "Civitai: credit the author, no commercial use of pictures"
    assert web.asked(GLASS)[0].path == f"{GLASS}?fileId=758102"


async def test_our_token_goes_to_civitai_and_not_to_its_content_network(
    web: Internet, places: Places
) -> None:
    serve_glass(web)
    await places.describe("civitai:721805@843538")
    tokens = {one.headers["host"]: one.headers.get("authorization") for one in web.site.requests}
    assert tokens == {"civitai.com": "Bearer civitai-secret", "b2.civitai.com": None}


async def test_what_only_civitai_red_shows_is_asked_for_there_without_our_token(
    web: Internet, places: Places
) -> None:
    serve_glass(web)
    await places.describe("https://civitai.red/models/721805")
    first = web.site.requests[0]
    assert first.headers["host"] == "civitai.red"
    assert "authorization" not in first.headers


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda one: one.update(usageControl="Generation"), "used on Civitai only"),
        (lambda one: one.update(files=[]), "no .safetensors file"),
        (lambda one: one["files"][1].update(name="glass.ckpt"), "no .safetensors file"),
        (lambda one: one["files"][1].update(virusScanResult="Danger"), "dangerous"),
        (lambda one: one.update(modelId=7), "one of the model 7, not of 721805"),
        (lambda one: one.pop("id"), "something else than expected"),
    ],
)
async def test_a_version_whose_file_cannot_be_had_is_refused_before_the_download(
    web: Internet, places: Places, change: Change, sentence: str
) -> None:
    serve_glass(web, change)
    with pytest.raises(SourceError, match=sentence):
        await places.describe("civitai:721805@843538")
    assert not web.asked(GLASS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda one: one.update(type="Checkpoint"), "called a Checkpoint on Civitai"),
        (lambda one: one["modelVersions"].pop(1), "no version for FLUX on Civitai, only for SDXL"),
        (lambda one: one.update(modelVersions=[]), "no version on Civitai"),
    ],
)
async def test_a_model_without_a_lora_for_flux_is_refused_before_the_download(
    web: Internet, places: Places, change: Change, sentence: str
) -> None:
    serve_glass(web, model=change)
    with pytest.raises(SourceError, match=sentence):
        await places.describe("civitai:721805")
    assert not web.asked(GLASS)


@pytest.mark.parametrize(
    ("level", "nsfw", "expected"),
    [(1, False, 0), (3, False, 1), (7, False, 2), (15, False, 3), (31, False, 4), (1, True, 2)],
)
async def test_the_level_is_the_highest_of_the_versions_pictures(
    web: Internet, places: Places, level: int, nsfw: bool, expected: int
) -> None:
    serve_glass(web, lambda one: one.update(nsfwLevel=level), lambda one: one.update(nsfw=nsfw))
    assert (await places.describe("civitai:721805@843538")).claims.nsfw == expected


async def test_flags_for_real_people_and_minors_are_kept(web: Internet, places: Places) -> None:
    serve_glass(
        web, model=lambda one: one.update(poi=True, minor=True, allowCommercialUse="{Image,Sell}")
    )
    flags = (await places.describe("civitai:721805@843538")).flags
    assert flags == {LoraFlag.PERSON, LoraFlag.MINOR}


@pytest.mark.parametrize("hashes", [{}, {"SHA256": "short"}, None])
async def test_a_hash_that_civitai_does_not_know_is_left_open(
    web: Internet, places: Places, hashes: object
) -> None:
    serve_glass(web, lambda one: one["files"][1].update(hashes=hashes))
    assert (await places.describe("civitai:721805@843538")).sha256 is None


async def test_a_login_page_in_place_of_the_file_is_told_as_such(
    web: Internet, places: Places
) -> None:
    serve_glass(web, file=page(b"<!DOCTYPE html><html>Sign in</html>"))
    with pytest.raises(NotSafetensors, match="its token is missing"):
        await places.describe("civitai:721805@843538")


async def test_a_model_that_civitai_com_hides_is_pointed_to_its_other_site(places: Places) -> None:
    with pytest.raises(NotThere, match=r"civitai\.red"):
        await places.describe("civitai:721805")


async def test_a_file_is_found_on_civitai_by_its_hash(web: Internet, places: Places) -> None:
    web.serve(f"/api/v1/model-versions/by-hash/{GLASS_SHA}", answer(recorded("civitai_version")))
    assert await places.find_elsewhere(GLASS_SHA) == CivitaiSource(
        model=721805, version=843538, file=758102
    )
    assert await places.find_elsewhere(INK_SHA) is None
    odd = recorded("civitai_version") | {"id": -1}
    web.serve(f"/api/v1/model-versions/by-hash/{GLASS_SHA}", answer(odd))
    with pytest.raises(NotThere):
        await places.find_elsewhere(GLASS_SHA)


# --- Files ------------------------------------------------------------------------------------


async def test_a_fal_trainers_output_has_the_trigger_word_of_its_configuration(
    web: Internet, places: Places
) -> None:
    files = recorded("fal_trainer")["payload"]
    url, config = (files[key]["url"] for key in ("diffusers_lora_file", "config_file"))
    web.serve(url.partition("fal.media")[2], File(lora_bytes("clay")))
    web.serve(config.partition("fal.media")[2], answer(recorded("fal_config")))
    found = await places.describe(json.dumps(recorded("fal_trainer")))
    assert found.source == FalSource(url=url, config_url=config)
    assert found.triggers == (TriggerSet(words=("TOKCLAY",)),)


async def test_an_address_is_described_by_the_file_itself(web: Internet, places: Places) -> None:
    web.serve("/my%20ink.safetensors", File(lora_bytes("Ink")))
    found = await places.describe("https://files.example/my%20ink.safetensors#top")
    assert found.source == HttpsSource(url="https://files.example/my%20ink.safetensors")
    assert (found.title, found.claims.file_name) == ("Ink", "my ink.safetensors")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://files.example/a.safetensors?token=hunter2", "seems to hold a token"),
        ("https://files.example/a.safetensors?X-Amz-Signature=hunter2", "seems to hold a token"),
        ("http://files.example/a.safetensors", "begin with https://"),
        ("https://files.example/a https://[files.example/b", "Check it for typos"),
        (f"https://files.example/{'a' * 2500}.safetensors", "longer than"),
    ],
)
async def test_an_address_that_cannot_be_kept_is_refused_without_asking(
    web: Internet, places: Places, url: str, sentence: str
) -> None:
    with pytest.raises(NotUsable, match=sentence) as error:
        await places.describe(url)
    assert "hunter2" not in str(error.value)
    assert not web.site.requests


async def test_a_host_that_is_not_on_the_list_is_never_asked(web: Internet, tmp_path: Path) -> None:
    rules = FetchRules(allowed_hosts=frozenset({"huggingface.co"}))
    places = Places(web.fetcher(rules), [tmp_path])
    with pytest.raises(AddressRefused, match=r"only from huggingface\.co"):
        await places.describe("https://files.example/a.safetensors")
    assert not web.wires.dialled


async def test_a_local_file_is_named_by_its_path_in_the_folder(
    places: Places, tmp_path: Path
) -> None:
    (tmp_path / "styles").mkdir()
    path = tmp_path / "styles/ink.safetensors"
    path.write_bytes(lora_bytes("ink"))
    for reference in ("./styles/ink.safetensors", "styles/ink.safetensors", str(path)):
        found = await places.describe(reference)
        assert found.source == LocalSource(path="styles/ink.safetensors")
        assert found.path == path


@pytest.mark.parametrize("reference", ["../secret.safetensors", "/etc/secret.safetensors", "~/x"])
async def test_a_file_outside_the_folder_is_not_even_looked_at(
    tmp_path: Path, web: Internet, reference: str
) -> None:
    inside = tmp_path / "loras"
    inside.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(lora_bytes())
    with pytest.raises(NotThere, match="in the LoRA folder"):
        await Places(web.fetcher(), [inside]).describe(reference)


# --- The header -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "family"),
    [
        (loras.flux1(), Family.FLUX_1),
        (loras.flux2(), Family.FLUX_2_DEV),
        (loras.flux2(*loras.KLEIN_4B), Family.KLEIN_4B),
        (loras.flux2(*loras.KLEIN_9B), Family.KLEIN_9B),
    ],
)
async def test_of_a_file_of_almost_2_gb_at_most_1_mb_is_sent_to_tell_what_it_is(
    web: Internet, places: Places, layers: loras.Layers, family: Family
) -> None:
    tensors = loras.factors(layers)
    per_rank = loras.header(tensors)[1] // 16
    rank = min(512, 2**31 // per_rank - 1)
    start, size = loras.header(
        loras.factors(layers, rank=rank), {"ss_tag_frequency": "x" * 400_000}
    )
    file = File(start, len(start) + size)
    serve_ink(web, file=file)
    found = await places.describe("ada/ink-wash-flux")
    assert (found.family, found.size) == (family, file.size)
    assert file.size > 1_000_000_000
    assert file.sent <= 1_000_000


async def test_a_lora_for_another_model_is_named_and_refused_by_its_header(
    web: Internet, places: Places
) -> None:
    start, size = loras.header(loras.factors(SDXL, prefix="unet."))
    file = File(start, len(start) + size)
    serve_ink(web, file=file)
    with pytest.raises(NotUsable, match="made for Stable Diffusion XL; only LoRAs for FLUX"):
        await places.describe("ada/ink-wash-flux")
    assert file.asked == 1


async def test_a_file_that_is_cut_off_at_its_site_is_refused_by_its_header(
    web: Internet, places: Places
) -> None:
    whole = lora_bytes()
    serve_ink(web, file=File(whole, len(whole) - 10))
    with pytest.raises(Damaged):
        await places.describe("ada/ink-wash-flux")


@pytest.mark.parametrize(
    ("base", "family"),
    [
        ("black-forest-labs/FLUX.1-dev", Family.FLUX_1),
        (["black-forest-labs/FLUX.2-klein-4B"], Family.KLEIN_4B),
        (None, Family.FLUX_1_OR_KLEIN_4B),
    ],
)
async def test_where_layers_fit_two_models_the_sites_word_decides(
    web: Internet, places: Places, base: object, family: Family
) -> None:
    both = loras.only(loras.flux1(doubles=4, singles=0), "attn.to_q")
    serve_ink(
        web,
        lambda one: one["cardData"].update(base_model=base),
        File(lora_bytes(layers=both)),
    )
    assert (await places.describe("ada/ink-wash-flux")).family is family


async def test_a_file_that_its_site_has_lost_is_said_by_its_status(
    web: Internet, places: Places
) -> None:
    serve_ink(web)
    del web.site.pages["/repos/ink"]
    with pytest.raises(NotFetched, match="404"):
        await places.describe("ada/ink-wash-flux")


def test_single_words_make_one_trigger_set_and_lists_make_several() -> None:
    assert trigger_sets(["a", "b", "a", 3, ""]) == (TriggerSet(words=("a", "b")),)
    assert trigger_sets(["a, b", "c"]) == (
        TriggerSet(words=("a", "b")),
        TriggerSet(name="set-2", words=("c",)),
    )
    assert trigger_sets([]) == trigger_sets(["", "x" * 81]) == ()
