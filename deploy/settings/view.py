"""Settings of the live page."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

LEAST_TOKEN = 16


class ViewSettings(BaseModel):
    """The live page, `irstream view`. Every key is also an environment variable `IRSTREAM_VIEW__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address the page is served at; `0.0.0.0`: for other machines, too")
    port: int = Field(8765, ge=0, le=65535, description="port; 0: a free one")
    token: SecretStr | None = Field(None, description=f"{LEAST_TOKEN} characters or more that let people in; none: new ones at each start")
    token_file: str | None = Field(None, description="file that holds it; takes the place of `token`")
    anybody: bool = Field(
        False, description="`true`: everybody who uses this machine, without the token; only with an address of this machine"
    )
    tls_certificate_file: str | None = Field(None, description="certificate (PEM, with its chain): the page is served by https")
    tls_key_file: str | None = Field(None, description="its key (PEM)")
    may_write: bool = Field(True, description="whether zones that are drawn on the page may be written into the settings file")
    max_sensors: int = Field(500, ge=1, le=10_000, description="most sensors on the page; the one that was silent longest gives way")
    frames_bytes: int = Field(256 * 2**20, ge=2**20, description="most bytes of messages that are held until their rows are there")

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < LEAST_TOKEN:
            raise ValueError(f"expected a token of {LEAST_TOKEN} characters or more, got {len(token.get_secret_value())}")
        return token

    @model_validator(mode="after")
    def _both_files(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("expected both tls_certificate_file and tls_key_file, or neither, got one")
        return self
