"""Limits on the size of an input; checked on its header, before anything large is allocated."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import RejectReason, RejectRecord
from contracts.quality import Quality

_FLOAT32_BYTES = 4


class InputLimits(BaseModel):
    """Limits of one message (settings `preprocess`); beyond one of them a message is rejected as too large or too small.

    Attributes:
        max_bytes: size of the message's value.
        max_header_bytes: names and values of all headers together, and also the most a key may have.
        max_headers: number of headers.
        max_pixels: width times height of a frame; grey stored as colour may take no more bytes than so many float32.
        max_side_px: longer side of a frame.
        min_side_px: shorter side of a frame.
        max_decompression_ratio: decoded bytes over message bytes, asked only of frames above `ratio_free_bytes`: a camera
            with its lens cap on compresses 1000:1 with good reason.
        ratio_free_bytes: decoded size up to which any ratio is welcome.
        reject_quality: faults of a frame (words of column `quality`) for which its message is rejected; the others are only noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=80 * 2**20, gt=0)
    max_header_bytes: int = Field(default=64 * 2**10, gt=0)
    max_headers: int = Field(default=256, gt=0)
    max_pixels: int = Field(default=64_000_000, gt=0)
    max_side_px: int = Field(default=16_384, gt=0)
    min_side_px: int = Field(default=8, gt=0)
    max_decompression_ratio: float = Field(default=1000.0, gt=1)
    ratio_free_bytes: int = Field(default=32 * 2**20, ge=0)
    reject_quality: tuple[Quality, ...] = ()

    def check_quality(self, faults: tuple[Quality, ...]) -> None:
        """Refuse a frame by its faults.

        Raises:
            RejectRecord: it has one that is not wanted.
        """
        unwanted = [fault for fault in faults if fault in self.reject_quality]
        if unwanted:
            expected = f"a frame without {', '.join(self.reject_quality)} (setting `preprocess.reject_quality`)"
            raise RejectRecord(RejectReason.QUALITY, expected=expected, got=", ".join(unwanted))

    def check_size(self, width_px: int, height_px: int, decoded_bytes: int, message_bytes: int) -> None:
        """Refuse a frame by what its header promises.

        Raises:
            RejectRecord: too small, too large, or compressed beyond belief.
        """
        size = f"{width_px}x{height_px} px"
        if min(width_px, height_px) < self.min_side_px:
            raise RejectRecord(RejectReason.TOO_SMALL, expected=f"sides of at least {self.min_side_px} px", got=size)
        if max(width_px, height_px) > self.max_side_px:
            raise RejectRecord(RejectReason.TOO_LARGE, expected=f"sides of at most {self.max_side_px} px", got=size)
        if width_px * height_px > self.max_pixels:
            raise RejectRecord(RejectReason.TOO_LARGE, expected=f"at most {self.max_pixels} pixels", got=f"{size} = {width_px * height_px}")
        if decoded_bytes > _FLOAT32_BYTES * self.max_pixels:
            expected = f"at most {_FLOAT32_BYTES * self.max_pixels} decoded bytes"
            raise RejectRecord(RejectReason.TOO_LARGE, expected=expected, got=f"{size} = {decoded_bytes} bytes")
        if decoded_bytes > self.ratio_free_bytes and decoded_bytes > self.max_decompression_ratio * message_bytes:
            expected = f"a decompression ratio of at most {self.max_decompression_ratio:g} above {self.ratio_free_bytes} bytes"
            raise RejectRecord(RejectReason.TOO_LARGE, expected=expected, got=f"{size} from {message_bytes} bytes")
