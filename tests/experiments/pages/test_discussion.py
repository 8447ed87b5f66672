"""Every sentence of the discussion from figures of our choosing: it says what they carry, and no more."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_results import LABEL, concluded, figure, pair, results

from experiments.pages import discussion
from experiments.results.records import NAN, Figure, Pair, Slice

CLEAR = {"text": figure(0.80, 0.75, 0.85), "image": figure(0.60, 0.55, 0.65)}
CLOSE = {"text": figure(0.70, 0.65, 0.75), "image": figure(0.66, 0.61, 0.71)}
BLIND = {"text": figure(0.51, 0.45, 0.57), "image": figure(0.49, 0.43, 0.55)}


def of(head, against, low, high, p, **power) -> Pair:
    """A tested pair, one by the middle of the interval better."""
    middle = (low + high) / 2
    return concluded(Pair("test", head, against, "auc_roc", 0.7 + middle, 0.7, low, high, p, p, **power))


def test_a_modality_leads_only_where_a_test_says_so():
    # the image's side of the pair: it is read from either
    apart, close = of("image", "text", -0.25, -0.15, 0.001), of("text", "image", -0.03, 0.11, 0.3, detectable=0.1)
    assert discussion.modality(results(CLEAR, others=[apart])) == [
        "On test, AUC-ROC is .800 [.750, .850] for text alone and .600 [.550, .650] for image alone.",
        "Text against image: +.200 [+.150, +.250], corrected p .001: a gain. Text carries more of the signal.",
    ]
    assert discussion.modality(results(CLOSE, others=[close]))[1] == (
        "Text against image: +.040 [-.030, +.110], corrected p .300: no evidence of a gain. Which of them carries more "
        "of the signal is open. Text against image: these memes of test show a difference of AUC-ROC of .100 four "
        "times in five (power 80%, one test at .05); for the .040 seen here more memes alone would not do."
    )
    assert discussion.modality(results(CLEAR))[1] == "Text against image was not tested."  # by a version before


def test_a_blind_modality_is_called_blind():
    said = discussion.modality(results(CLEAR | {"image": figure(0.52, 0.47, 0.57)}))
    assert "No evidence that image alone does better than chance." in said


@pytest.mark.parametrize(
    ("fusions", "says"),
    [
        ({}, "No head finds a signal in these vectors."),
        ({"early": figure(0.52, 0.46, 0.58)}, "No head finds a signal in these vectors."),
        (
            {"early": figure(0.99, 0.98, 1.0), "late": figure(0.52, 0.46, 0.58)},
            "Yet early fusion reaches .990: the signal is in the combination of text and image, which adding two "
            "opinions (late fusion) cannot express.",
        ),
        (
            {"early": figure(0.99, 0.98, 1.0), "late": figure(0.62, 0.56, 0.68)},
            "Yet early fusion reaches .990 and late fusion reaches .620: the signal is in the combination of text and "
            "image.",
        ),
    ],
)
def test_two_blind_sides_may_see_together(fusions, says):
    assert discussion.modality(results(BLIND | fusions))[-1] == says


def test_no_gain_shown_is_not_called_no_gain():
    assert discussion.gain(pair(-0.02, 0.06, 0.5)) == (
        "Early against text on test: +.020 [-.020, +.060], corrected p .500: no evidence of a gain. These memes are in "
        "keeping with anything from a loss of .020 to a gain of .060: that no gain is shown does not show that there "
        "is none."
    )


def test_a_gain_is_said_with_its_range():
    assert discussion.gain(pair(0.02, 0.06, 0.0001)) == (
        "Early against text on test: +.040 [+.020, +.060], corrected p <.001: a gain. The true gain may be as small as "
        ".020 or as large as .060."
    )


def test_a_loss_is_said():
    assert discussion.gain(pair(-0.06, -0.02, 0.01)).endswith("corrected p .010: a loss.")


def test_a_pair_without_a_test_is_said():
    assert discussion.gain(pair(NAN, NAN, NAN)).endswith("against text on test: undefined: too few memes to tell.")


def test_accuracy_says_which_answers_changed():
    assert " late gets 1 meme right that text does not, " in discussion.answers(
        pair(0.01, 0.09, 0.03, "late", "accuracy", (1, 18))
    )
    assert discussion.answers(pair(0.01, 0.09, 0.03, "late", "accuracy", (35, 18))) == (
        "By accuracy at 0.5 on test, late gets 35 memes right that text does not, and loses 18: +.050 [+.010, +.090], "
        "corrected p .030: a gain."
    )


def test_what_so_many_memes_can_show():
    pairs = [
        of("early", "text", -0.02, 0.06, 0.5, detectable=0.06, memes_needed=899.2),
        of("late", "text", 0.04, 0.08, 0.001, detectable=0.03, memes_needed=50.0),
    ]
    said = [
        f"{head} against text: these memes of test show a difference of AUC-ROC of {detectable} four times in five "
        f"(power 80%, one test at .05){seen}"
        for head, detectable, seen in (
            ("Early", ".060", "; the .020 seen here takes 900 memes."),
            ("Late", ".030", "."),
        )
    ]
    assert discussion.resolution(results(CLEAR, [*pairs, pair(NAN, NAN, NAN)])) == said
    assert discussion.resolution(results(CLEAR)) == []


def test_fusions_are_set_against_each_other():
    figures = CLEAR | {"early": Figure(0.82), "late": Figure(0.81)}
    behind = of("early", "late", -0.05, -0.01, 0.004)
    assert discussion.among(results(figures, others=[behind])) == [
        "Late fusion against early fusion: +.030 [+.010, +.050], corrected p .004: a gain."
    ]
    assert discussion.among(results(CLEAR)) == []


def test_heads_are_set_against_linear_models():
    linear = [
        concluded(Pair("test", "text", "LR text", "auc_roc", 0.81, 0.80, -0.02, 0.04, 0.5, 0.5)),
        concluded(Pair("test", "early", "LR balanced", "auc_roc", 0.90, 0.80, 0.06, 0.14, 0.0002, 0.0004)),
        concluded(Pair("test_unseen", "text", "LR text", "auc_roc", 0.70, 0.80, -0.14, -0.06, 0.0002, 0.0004)),
    ]
    assert discussion.layers(results(CLEAR, linear=linear)) == [
        "Early against a logistic regression on what it sees (LR balanced): +.100 [+.060, +.140], corrected p <.001: "
        "a gain.",
        "No firm evidence that a hidden layer does more than a logistic regression on what it sees: text +.010 "
        "[-.020, +.040].",
    ]
    assert discussion.layers(results(CLEAR)) == []


@pytest.mark.parametrize(
    ("sd", "says"),
    [
        (0.004, "Another seed moves it by some .004, other memes by up to .050: more memes would tell more"),
        (0.04, "Seeds (standard deviation .040) weigh as much as memes (±.050): use more seeds."),
        (NAN, "With one seed, nothing is known of how much luck is in training"),
    ],
)
def test_luck_of_seeds_and_of_memes(sd, says):
    assert discussion.luck(figure(0.8, 0.75, 0.85, sd))[0].startswith(says)


def test_an_undefined_figure_has_no_luck():
    assert discussion.luck(figure(NAN, NAN, NAN, 0.0)) == []


def test_dev_chooses_the_head_that_is_discussed():
    dev = {"text": Figure(0.6), "image": Figure(0.9)}
    assert (
        discussion.trust(results(CLEAR, dev_auc=dev))[0]
        == "Dev would choose image; its AUC-ROC on test is .600 [.550, .650]."
    )
    assert discussion.trust(results(CLEAR, dev_auc=dev))[-1].startswith("On dev it had .900, above test's interval")
    assert discussion.trust(results(CLEAR, dev_auc={"text": Figure(0.7), "image": Figure(0.6)}))[-1].startswith(
        "On dev it had .700, below test's interval"
    )
    assert discussion.trust(results(CLEAR, judged="dev"))[-1].startswith("dev chose the epochs")


def test_probabilities_are_held_against_the_share_of_label_1():
    calls = {head: np.full(100, 0.3) for head in CLEAR}
    assert discussion.probabilities(results(CLEAR, calls=calls, tuned=0.75)) == [
        "Text's expected calibration error on test is .050.",
        "Its probabilities are too low on the whole: .300 on average, where .400 of the memes have label 1.",
        "Dev's threshold (.400 on average) moves macro-F1: .700 at 0.5, .750 there.",
    ]
    calls = {head: np.full(100, 0.41) for head in CLEAR}
    assert discussion.probabilities(results(CLEAR, calls=calls))[1:] == [
        "Dev's threshold (.400 on average) hardly changes macro-F1: .700 at 0.5, .710 there."
    ]
    assert len(discussion.probabilities(results(CLEAR, calls=calls, tuned=math.nan))) == 1


def test_failures_are_counted():
    calls = {
        "text": np.where(np.arange(100) < 90, LABEL, 1 - LABEL),
        "image": np.where(np.arange(100) < 70, LABEL, 1 - LABEL),
    }
    assert discussion.failures(results(CLEAR, calls={head: each.astype(float) for head, each in calls.items()})) == [
        "At 0.5, text misses 50% of the memes of label 1 and raises a false alarm on 0% of the others.",
        "All heads are right on 70% of test's memes, none on 10%: no vote among these heads reaches the latter.",
    ]


def test_the_weakest_slice_is_named_with_its_doubt():
    whole = figure(0.80, 0.75, 0.85)
    small = Slice("test", "tiny", 5, 2, {"text": figure(0.2, 0.1, 0.3)})
    sure = Slice("test", "long texts", 40, 20, {"text": figure(0.60, 0.50, 0.70)})
    unsure = replace(sure, auc_roc={"text": figure(0.70, 0.55, 0.85)})
    near = replace(sure, auc_roc={"text": figure(0.79, 0.55, 0.85)})
    undefined = replace(sure, auc_roc={"text": Figure(NAN)})
    sentence = "Of the slices with 30 memes or more it does worst on 'long texts' (40 memes): "
    assert discussion.weakest([sure, undefined], "text", whole) == [sentence + ".600 [.500, .700] against .800 on all."]
    assert discussion.weakest([unsure], "text", whole) == [
        sentence + ".700 [.550, .850] against .800 on all, though the difference may be luck."
    ]
    assert discussion.weakest([near], "text", whole) == discussion.weakest([undefined], "text", whole) == []
    assert not any("tiny" in said for said in discussion.failures(results(CLEAR, slices=[small])))
