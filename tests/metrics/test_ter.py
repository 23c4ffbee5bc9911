import pytest

from peft_cli.metrics import score


@pytest.mark.parametrize("protocol", ["webnlg2017", "dart"])
def test_ter_is_within_a_tenth_of_tercom(golden, texts, protocol):
    ter = score(["ter"], *texts, protocol).values["ter"]
    assert ter == pytest.approx(100 * golden[protocol]["official"]["TER"], abs=0.1)


def test_a_lacking_reference_is_left_out_whatever_the_protocol_pads_with():
    texts, references = ["a b c d", "a b"], [["a b c d e", "x y"], ["a b c"]]
    found = [score(["ter"], texts, references, name).values["ter"] for name in ("e2e", "webnlg2017")]
    assert found == pytest.approx([100 * (1 + 1) / (3.5 + 3)] * 2)
