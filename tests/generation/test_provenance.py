"""The seal survives hostile words, the formats, and the limits."""

from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from generation.provenance import (
    DIGITAL_SOURCE_TYPE,
    NAMESPACE,
    Sealed,
    encode_and_seal,
    read_seal,
)

_MIB = 1024 * 1024
_PARAMETERS: dict[str, str | int | float] = {
    "prompt": "a red apple",
    "negative_prompt": "leaf",
    "model": "builtin",
    "revision": "48d03333799ec9bd",
    "seed": 2**63,
    "steps": 12,
    "guidance_scale": 3.5,
}


def noise(width: int, height: int) -> Image.Image:
    """What compresses worst."""
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def seal(
    image: Image.Image, *, limit_bytes: int = 10 * _MIB, display_scale: int = 1, **more: str
) -> Sealed:
    return encode_and_seal(
        image,
        parameters={**_PARAMETERS, **more},
        limit_bytes=limit_bytes,
        display_scale=display_scale,
    )


@pytest.mark.parametrize(("limit", "media_type"), [(_MIB, "image/png"), (9_000, "image/jpeg")])
def test_the_seal_is_read_back(limit: int, media_type: str) -> None:
    sealed = seal(noise(64, 64), limit_bytes=limit)
    assert sealed.media_type == media_type
    assert read_seal(sealed.data) == {
        **{name: str(value) for name, value in _PARAMETERS.items()},
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


@pytest.mark.parametrize("limit", [_MIB, 9_000])
def test_others_can_read_it_too(limit: int) -> None:
    """By the published names, from the places where XMP is looked for."""
    data = seal(noise(64, 64), limit_bytes=limit).data
    if limit == _MIB:
        assert b"iTXtXML:com.adobe.xmp\0\0\0\0\0" in data
        assert data.index(b"iTXt") < data.index(b"IDAT")
    else:
        assert b"\xff\xe1" in data[:24]
        assert b"http://ns.adobe.com/xap/1.0/\0" in data[:64]
    start, end = data.index(b"<?xpacket begin"), data.index(b"<?xpacket end")
    root = ElementTree.fromstring(data[start:end].decode())
    iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert root.tag == "{adobe:ns:meta/}xmpmeta"
    assert root.findtext(f".//{iptc}") == DIGITAL_SOURCE_TYPE
    assert root.findtext(".//{http://ns.adobe.com/xap/1.0/}CreatorTool") == "Easel"
    assert root.findtext(f".//{{{NAMESPACE}}}prompt") == "a red apple"


@pytest.mark.parametrize(
    "prompt",
    [
        "<script>alert('x')</script> & \"quotes\" ]]> <!-- no --> <![CDATA[ x ]]>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
        "</rdf:Description><rdf:Description seed='1'>",
        '<?xpacket end="w"?>',
        "line\nfeed \r\n carriage \r tab\t end",
        "  spaces around  ",
        "é 漢字 🍎 \u202e right to left \u200b",
        "&amp; &#10; %s {0} \\",
        "",
    ],
)
@pytest.mark.parametrize("limit", [_MIB, 9_000])
def test_hostile_prompts_come_back_as_they_were(prompt: str, limit: int) -> None:
    sealed = seal(noise(64, 64), limit_bytes=limit, prompt=prompt)
    assert read_seal(sealed.data)["prompt"] == prompt
    assert read_seal(sealed.data)["seed"] == str(2**63)


def test_what_xml_cannot_hold_is_replaced() -> None:
    sealed = seal(noise(16, 16), prompt="a\0b\x1bc\ud800d\ufffee")
    assert read_seal(sealed.data)["prompt"] == "a\ufffdb\ufffdc\ufffdd\ufffde"


@pytest.mark.parametrize("letter", ["a", "&", "🍎"])
def test_long_prompts_are_cut_to_fit_a_jpeg_segment(letter: str) -> None:
    sealed = seal(noise(1600, 1000), prompt=letter * 70_000, negative_prompt=letter * 70_000)
    assert sealed.media_type == "image/jpeg"
    read = read_seal(sealed.data)
    assert read["prompt"].startswith(letter * 4_000)
    assert read["prompt"].endswith("…")
    assert read["model"] == "builtin"


def test_small_pictures_are_png_without_loss() -> None:
    image = noise(64, 48)
    sealed = seal(image)
    with Image.open(BytesIO(sealed.data)) as back:
        assert back.format == "PNG"
        assert (np.asarray(back) == np.asarray(image)).all()
    assert (sealed.width, sealed.height) == (64, 48)


def test_enlarged_for_display() -> None:
    image = noise(64, 48)
    sealed = seal(image, display_scale=4)
    with Image.open(BytesIO(sealed.data)) as back:
        expected = image.resize((256, 192), Image.Resampling.LANCZOS)
        assert back.size == (sealed.width, sealed.height) == (256, 192)
        assert (np.asarray(back) == np.asarray(expected)).all()


@pytest.mark.parametrize("limit", [400_000, 150_000, 30_000, 8_000])
def test_it_fits(limit: int) -> None:
    """First quality goes, then size; noise of 512² is some 790 kB as PNG."""
    sealed = seal(noise(512, 512), limit_bytes=limit)
    assert len(sealed.data) <= limit
    with Image.open(BytesIO(sealed.data)) as back:
        back.load()
        assert back.size == (sealed.width, sealed.height)
        assert back.format == "JPEG"
    assert (sealed.width == 512) == (limit >= 150_000)
    assert read_seal(sealed.data)["prompt"] == "a red apple"


def test_what_cannot_fit_is_said() -> None:
    with pytest.raises(ValueError, match="64×64 cannot be made to fit 500 bytes"):
        seal(noise(64, 64), limit_bytes=500)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK"])
def test_all_modes_are_shown(mode: str) -> None:
    with Image.open(BytesIO(seal(noise(32, 32).convert(mode)).data)) as back:
        assert back.mode == "RGB"


def test_pictures_without_a_seal() -> None:
    bare, foreign, bomb = BytesIO(), BytesIO(), BytesIO()
    noise(8, 8).save(bare, "PNG")
    noise(8, 8).save(foreign, "JPEG", xmp=b"<not-closed")
    with Image.open(BytesIO(seal(noise(8, 8)).data)) as sealed:
        honest = sealed.info["xmp"]
    laughs = honest.replace(b"<x:", b"<!DOCTYPE l [<!ENTITY a 'ha'>]><x:", 1)
    laughs = laughs.replace(b"a red apple", b"&a;")
    noise(8, 8).save(bomb, "JPEG", xmp=laughs)
    assert read_seal(bare.getvalue()) == {}
    assert read_seal(foreign.getvalue()) == {}
    assert read_seal(bomb.getvalue()) == {}
    with pytest.raises(UnidentifiedImageError):
        read_seal(b"no picture")
