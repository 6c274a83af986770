"""The tokenizer: takes any text, loses none silently."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.inputs.tokenizer import BEGIN, END, PAD, UNKNOWN
from tests import small

TOKENIZER = small.tokenizer(max_tokens=24)
LONG = tokenizer_lib.Tokenizer(TOKENIZER.model, 400)
words = st.sampled_from(sorted({word for caption in small.CAPTIONS for word in caption.split()}))


@given(st.text(max_size=60))
def test_any_text_encodes_to_known_ids(text):
    ids = TOKENIZER.encode(text)
    assert ids.shape == (24,)
    assert ids.dtype == np.int32
    assert ids[0] == BEGIN
    assert ids.max() < TOKENIZER.vocab_size
    assert UNKNOWN not in ids
    length = int((ids != PAD).sum())
    assert ids[length - 1] == END
    assert (ids[length:] == PAD).all()


@given(st.lists(words, min_size=1, max_size=6).map(" ".join))
def test_words_of_the_captions_come_back(text):
    assert LONG.decode(LONG.encode(text)) == text


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "S"]), min_size=1, max_size=40))
def test_a_text_is_cut_exactly_where_its_end_is_lost(text):
    assert not LONG.is_cut(text)
    lost = TOKENIZER.decode(TOKENIZER.encode(text)) != LONG.decode(LONG.encode(text))
    assert TOKENIZER.is_cut(text) == lost


def test_bytes_that_are_no_text_are_question_marks():
    np.testing.assert_array_equal(TOKENIZER.encode("a \udcff apple"), TOKENIZER.encode("a ? apple"))


def test_capitals_do_not_matter():
    np.testing.assert_array_equal(TOKENIZER.encode("A Red APPLE"), TOKENIZER.encode("a red apple"))


def test_the_null_caption_has_no_words():
    assert TOKENIZER.null().tolist() == [BEGIN, END] + [PAD] * 22
    np.testing.assert_array_equal(TOKENIZER.encode(""), TOKENIZER.null())


def test_common_words_are_one_piece_and_the_vocabulary_is_bounded():
    assert TOKENIZER.vocab_size <= small.VOCAB
    learned = tokenizer_lib.learn(["green banana"] * 50, 400, 8)
    assert len([i for i in learned.encode("green banana") if i > END]) <= 3


def test_the_same_captions_give_the_same_bytes():
    assert small.tokenizer().model == small.tokenizer().model


def test_it_travels_to_other_processes():
    copy = pickle.loads(pickle.dumps(TOKENIZER))
    assert (copy.model, copy.max_tokens) == (TOKENIZER.model, TOKENIZER.max_tokens)
    np.testing.assert_array_equal(copy.encode("a banana"), TOKENIZER.encode("a banana"))


@pytest.mark.parametrize("file", [b"", b"not a model", TOKENIZER.model[:100]])
def test_a_damaged_file_is_told_in_words(file):
    with pytest.raises(tokenizer_lib.TokenizerError, match="tokenizer file is damaged"):
        tokenizer_lib.Tokenizer(file, 8)


@pytest.mark.parametrize("captions", [[], ["", "  \n "]])
def test_nothing_can_be_learned_from_empty_captions(captions):
    with pytest.raises(tokenizer_lib.TokenizerError, match=r"every caption is empty.*data\.text_key"):
        tokenizer_lib.learn(captions, small.VOCAB, 8)


def test_captions_of_one_letter_or_many_lines_are_enough():
    for captions in (["x"], ["one\ntwo"], ["é" * 5000]):
        learned = tokenizer_lib.learn(captions, small.VOCAB, 16)
        assert learned.decode(learned.encode("one two")) == "one two"


def test_more_characters_than_pieces_are_told_in_bytes():
    """As in captions of Chinese."""
    common = "".join(map(chr, range(0x4E00, 0x4E20)))
    rare = "".join(map(chr, range(0x5E00, 0x6200)))
    learned = tokenizer_lib.learn([common] * 3 + [rare], small.VOCAB, 200)
    assert learned.vocab_size <= small.VOCAB
    assert learned.decode(learned.encode(common + rare[:9])) == common + rare[:9]
    assert len(learned._pieces.encode(common)) <= len(common) + 1 < len(learned._pieces.encode(rare)) / 3
