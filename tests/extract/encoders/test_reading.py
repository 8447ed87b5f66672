"""An image's bytes: what is its own fault, and what the disk's or the network's."""

import errno
import os

import pytest
from broken_images import Broken

from extract import images
from extract.encoders import reading
from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.plan import Item


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR])
def test_a_file_that_is_gone_or_closed_to_us_is_a_bad_image(number):
    bad = reading.decode(Item("0" * 64, Broken(number)), images.decode_each)
    assert bad == BadImage("0" * 64, f"cannot be read: {os.strerror(number)}")
    assert bad.unread


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT, errno.ENOTCONN])
def test_a_disk_or_network_that_fails_is_no_images_fault(number):
    with pytest.raises(Failed) as failure:
        reading.decode(Item("0" * 64, Broken(number)), images.decode_each)
    assert str(failure.value).startswith(f"/memes/img/1.png cannot be read: {os.strerror(number)}. The image is not")
    assert "Finished parts are kept" in str(failure.value)


def test_bytes_that_are_no_image_were_read(tmp_path):
    path = tmp_path / "1.png"
    path.write_bytes(b"GIF")
    digest = "a906dc2fa0bb4cd0d8ba4bb2de7dc7ca3a2cfa8bb9f0e4a9bb6c5a1e5e3a0f6b"
    changed = reading.decode(Item(digest, path), images.decode_each)
    assert changed == BadImage(digest, "changed while it was being read")
    assert changed.unread
    bad = reading.pixels(Item(digest, path), b"GIF", images.decode_each)
    assert isinstance(bad, BadImage)
    assert not bad.unread
