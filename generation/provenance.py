"""Encoding pictures for where they are shown, sealed with what made them.

The seal is an XMP packet (ISO 16684-1). The C2PA manifest, which signs the finished bytes, will
be the last step of `encode_and_seal`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from xml.etree import ElementTree

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from storage.domain import ImageRequest

NAMESPACE = "tag:easel-bot,2026:generation/"
"""Of Easel's own XMP properties; a name, not an address."""
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC NewsCodes: created by a model trained on sampled content."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PREFIXES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "easel": NAMESPACE,
}
for _prefix, _uri in _PREFIXES.items():
    ElementTree.register_namespace(_prefix, _uri)

_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = '<?xpacket end="r"?>'
_MAX_PACKET_BYTES = 65_502
"""What fits into one JPEG segment after its header (XMP part 3, 1.1.3)."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any spelling."""

_MAX_PNG_PIXELS = 1_500_000
"""Above this PNG takes too long (113 ms for a megapixel) and too much room."""
_QUALITIES = (95, 90, 85, 75, 65, 50)
_SMALLEST_SIDE = 16


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A picture as a file."""

    data: bytes
    media_type: str
    """"image/png" or "image/jpeg": all that both Discord and Slack show in a message."""
    width: int
    height: int


def parameters_of(
    request: ImageRequest, seed: int, model_revision: str
) -> dict[str, str | int | float]:
    """What the seal says of one picture of a request: all that was set, and nothing that was not.
    `seed` is the picture's own."""
    parameters: dict[str, str | int | float] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "model": request.model,
        "model_revision": model_revision,
        "style": request.style or "",
        "seed": seed,
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "scheduler": request.scheduler or "",
        "width": request.width,
        "height": request.height,
        "mode": request.mode,
    }
    if request.reference is not None:
        parameters["strength"] = request.reference.strength
        parameters["reference_sha256"] = request.reference.sha256
    return {name: value for name, value in parameters.items() if value != ""}


def encode_and_seal(
    image: Image.Image,
    *,
    parameters: Mapping[str, str | int | float],
    limit_bytes: int,
    display_scale: int = 1,
) -> Sealed:
    """Enlarge by `display_scale` (Lanczos), encode within `limit_bytes`, embed the seal.

    PNG while it fits and is not over 1.5 megapixels, else JPEG of falling quality, and then of
    falling size. `parameters` are XMP properties by name (prompt, model, seed, …: names that XML
    takes); they say anything, and what does not fit into 64 kB is cut short. Raises ValueError
    when nothing recognisable fits.
    """
    picture = image.convert("RGB")
    size = (picture.width * display_scale, picture.height * display_scale)
    if display_scale != 1:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    packet = _packet(parameters)
    for media_type, encoded, (width, height) in _encodings(picture, packet):
        if len(encoded) <= limit_bytes:
            return Sealed(
                data=encoded,
                media_type=media_type,
                width=width,
                height=height,
            )
    raise ValueError(f"a picture of {size[0]}×{size[1]} cannot be made to fit {limit_bytes} bytes")


def read_seal(data: bytes) -> dict[str, str]:
    """The parameters that `encode_and_seal` wrote, with "digital_source_type"; empty when there
    is no seal or it cannot be read. Raises PIL.UnidentifiedImageError when it is no picture."""
    with Image.open(BytesIO(data)) as image:
        packet = image.info.get("xmp", b"")
    # Entities and document types have no place in XMP, but they have in attacks on its readers.
    if not packet or b"<!" in packet:
        return {}
    try:
        root = ElementTree.fromstring(packet)  # noqa: S314 - see above
    except ElementTree.ParseError:
        return {}
    found: dict[str, str] = {}
    for element in root.iterfind(f".//{{{_RDF}}}Description/*"):
        if element.tag.startswith(f"{{{NAMESPACE}}}"):
            found[element.tag.removeprefix(f"{{{NAMESPACE}}}")] = element.text or ""
        elif element.tag == f"{{{_PREFIXES['Iptc4xmpExt']}}}DigitalSourceType":
            found["digital_source_type"] = element.text or ""
    return found


def _encodings(picture: Image.Image, packet: bytes) -> Iterator[tuple[str, bytes, tuple[int, int]]]:
    """(media type, file, size in pixels), best first."""
    if picture.width * picture.height <= _MAX_PNG_PIXELS:
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        yield "image/png", _saved(picture, "PNG", pnginfo=info), picture.size
    while min(picture.size) >= _SMALLEST_SIDE:
        for quality in _QUALITIES:
            jpeg = _saved(picture, "JPEG", quality=quality, optimize=True, xmp=packet)
            yield "image/jpeg", jpeg, picture.size
        smaller = (picture.width * 3 // 4, picture.height * 3 // 4)
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)


def _saved(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def _packet(parameters: Mapping[str, str | int | float]) -> bytes:
    """The XMP packet, with long values cut until it fits into one JPEG segment."""
    longest = _MAX_PACKET_BYTES
    while len(packet := _serialised(parameters, longest)) > _MAX_PACKET_BYTES:
        longest //= 2
    return packet


def _serialised(parameters: Mapping[str, str | int | float], longest: int) -> bytes:
    def element(prefix: str, name: str) -> str:
        return f"{{{_PREFIXES[prefix]}}}{name}"

    root = ElementTree.Element(element("x", "xmpmeta"))
    rdf = ElementTree.SubElement(root, element("rdf", "RDF"))
    description = ElementTree.SubElement(
        rdf, element("rdf", "Description"), {element("rdf", "about"): ""}
    )
    properties = {
        element("Iptc4xmpExt", "DigitalSourceType"): DIGITAL_SOURCE_TYPE,
        element("xmp", "CreatorTool"): "Easel",
        **{element("easel", name): str(value) for name, value in parameters.items()},
    }
    for tag, value in properties.items():
        text = _NOT_XML.sub("\ufffd", value)
        shown = text if len(text) <= longest else text[:longest] + "…"
        ElementTree.SubElement(description, tag).text = shown
    # A bare carriage return would be read back as a line feed (XML 1.0, 2.11).
    xml = ElementTree.tostring(root, encoding="unicode").replace("\r", "&#13;")
    return f"{_BEGIN}{xml}{_END}".encode()
