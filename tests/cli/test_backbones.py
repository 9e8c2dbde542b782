"""The command backbones."""

from pathlib import Path

import pytest

from tests.support.command_line import run


@pytest.mark.network
def test_backbones_lists_the_main_ones() -> None:
    text = run("backbones").out
    assert "efficientnet_lite0_imagenet" in text
    assert "rope_deit3_reg4_m14_arabian-peninsula" in text
    listed = run("backbones", "list", "--json").json
    assert {info["dim"] for info in listed} == {384, 512, 768, 1024, 1152, 1280}
    assert len(run("backbones", "--all", "--json").json) > len(listed)
    assert Path(run("backbones", "pull", "efficientnet_lite0_imagenet").out.strip()).is_file()
    assert "efficientnet" in run("backbones", "pull", "efficientnet_lite0_imagnet", code=1).err
