"""CoNLL columns: every convention read, every fault named, round trips that lose nothing."""

import io
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llamaner.corpus import Corpus, Document, LabelSpan, Sentence, read_conll, write_conll
from llamaner.errors import CorpusError


def labels(corpus):
    return [[tuple(span) for span in s.label_spans] for s in corpus.sentences]


def words(corpus):
    return [list(s.words) for s in corpus.sentences]


def faults(path, **options):
    with pytest.raises(CorpusError) as caught:
        read_conll(path, **options)
    return [(problem.line, problem.found) for problem in caught.value.problems]


# Reading


def test_the_plain_case(written):
    corpus = read_conll(written("EU B-ORG\nrejects O\n\nPeter B-PER\nBlackburn I-PER\n"))
    assert words(corpus) == [["EU", "rejects"], ["Peter", "Blackburn"]]
    assert labels(corpus) == [[("ORG", 0, 1)], [("PER", 0, 2)]]
    assert (len(corpus), corpus.scheme, corpus.labels) == (1, "BIO", ("ORG", "PER"))
    assert corpus.documents[0].text == "EU rejects\nPeter Blackburn"


@pytest.mark.parametrize(
    "text",
    [
        "a B-X\r\nb O\r\n\r\nc O\r\n",
        "\ufeffa B-X\nb O\n\nc O",
        "\n\n \t\na B-X\nb O\n\n\t\n \n\nc O\n\n\n",
        "a\tB-X\nb\tO\n\nc\tO\n",
        "a \t  B-X\nb  O\n\n c O \n",
        "a  \tB-X\nb\t O\n\nc\tO\n",
        "a S-X\nb O\n\nc O\n",
        "a U-X\nb O\n\nc O\n",
        "a I-X\nb O\n\nc O\n",
    ],
)
def test_conventions_of_lines_blanks_and_schemes(written, text):
    corpus = read_conll(written(text))
    assert words(corpus) == [["a", "b"], ["c"]]
    assert labels(corpus) == [[("X", 0, 1)], []]


def test_only_tabs_or_blanks_separate_and_only_line_feeds_end_lines(written):
    odd = ["a\xa0b", "c\u2028d", "e\x85f", "g\x0ch", "\u3000", "\x1c"]
    assert words(read_conll(written("".join(f"{word} O\n" for word in odd)))) == [odd]
    assert words(read_conll(written("New York\tO\na b c\tO\n"))) == [["New York", "a b c"]]


def test_columns_in_any_order_are_kept(written):
    path = written("B-PER Ada NNP x\nO ran VBD y\n")
    corpus = read_conll(path, word_column=1, tag_column=0)
    (sentence,) = corpus.sentences
    assert sentence.words == ("Ada", "ran")
    assert sentence.columns == (("NNP", "VBD"), ("x", "y"))
    assert labels(corpus) == [[("PER", 0, 1)]]
    out = io.StringIO()
    write_conll(corpus, out, word_column=1, tag_column=0)
    assert out.getvalue() == path.read_text() + "\n"


def test_words_alone_can_be_read(written):
    corpus = read_conll(written("Ada\n#\nran\n# a note\n\nBo\n"), tag_column=None)
    assert words(corpus) == [["Ada", "#", "ran"], ["Bo"]]
    assert corpus.scheme is None


def test_docstart_lines_start_documents(written):
    text = "before O\n-DOCSTART- -X- O\n\na O\nb O\n-DOCSTART-\nc O\n\n-DOCSTART- O\n"
    corpus = read_conll(written(text))
    assert [[s.words for s in d.sentences] for d in corpus.documents] == [
        [("before",)],
        [("a", "b")],
        [("c",)],
        [],
    ]
    assert [d.metadata.get("docstart") for d in corpus.documents] == [
        None,
        "-DOCSTART- -X- O",
        "-DOCSTART-",
        "-DOCSTART- O",
    ]


def test_comments_are_kept_and_hashes_may_be_words(written):
    text = "# one\n#two words\n\na O\n# inside\n# O\n#tag B-X\n\n# last\n"
    corpus = read_conll(written(text))
    (sentence,) = corpus.sentences
    assert sentence.words == ("a", "#", "#tag")
    assert sentence.comments == ("# one", "#two words", "# inside")
    assert corpus.documents[0].metadata == {"comments_at_end": ["# last"]}
    corpus = read_conll(written("# a b c\n# a b c\n# O\n"))
    assert words(corpus) == [["#"]]


# Faults


@pytest.mark.parametrize("row", ["#nice", "#nice X", "#nice B-"])
def test_a_hashtag_without_a_tag_does_not_get_lost(written, row):
    ((line, _),) = faults(written(f"#Oslo B-LOC\nis O\n{row}\nbig O\n"))
    assert line == 3


def test_a_lone_carriage_return_is_a_fault(written):
    assert faults(written("a O\r\nb B-X\rc O\n")) == [(2, "a CR without LF")]


def test_all_faults_of_a_file_are_named_at_once(written):
    path = written("a O\nb\nc X O\nd PER\n\n-x B-\n" + "e o\n" * 30)
    with pytest.raises(CorpusError) as caught:
        read_conll(path)
    assert caught.value.count == 34
    found = [(problem.line, problem.found) for problem in caught.value.problems]
    assert len(found) == 20
    assert found[:3] == [
        (2, "1 column where most lines have 2"),
        (3, "3 columns where most lines have 2"),
        (4, "'PER' is not a tag: expected O, or one of B- I- E- S- and a label"),
    ]
    assert f"{path}:4: 'PER' is not a tag" in str(caught.value)
    assert "and 14 more" in str(caught.value)


def test_a_tag_of_another_scheme_is_a_fault(written):
    good = "a B-X\nb I-X\nc O\nd B-X\n\n"
    assert faults(written(good * 3 + "e E-X\n")) == [
        (16, "'E-X' is not a tag of BIO, which fits the file best")
    ]


def test_empty_words_and_missing_columns_are_faults(written):
    assert faults(written("a\tO\n\tO\n")) == [(2, "the word is empty")]
    assert faults(written("a\nb\n")) == [(None, "1 column, so column 1 would be both word and tag")]
    assert faults(written("a O\n"), word_column=2) == [
        (None, "2 columns, but the word was said to be in column 2")
    ]


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"a O\nb O\ncaf\xe9 O\n", 3, "byte 0xe9 at byte 11 is not UTF-8"),
        ("a O\n".encode("utf-16"), None, "the file is UTF-16, not UTF-8"),
        ("a O\n".encode("utf-32"), None, "the file is UTF-32, not UTF-8"),
        ("a O\n".encode("utf-16-le"), 1, "a NUL byte at byte 1"),
        (b"PK\x03\x04\n\xff\0\0", 2, "a NUL byte at byte 6"),
    ],
)
def test_other_encodings_are_named(written, content, line, found):
    ((where, what),) = faults(written(content))
    assert where == line
    assert what.startswith(found)


@given(st.binary(max_size=60))
@example(b"\xef\xbb\xbf")
@example(b"-DOCSTART-")
@example(b"#\n# O\n#")
def test_any_bytes_are_a_corpus_or_a_corpus_error(scratch, data):
    scratch.write_bytes(data)
    with suppress(CorpusError):
        assert read_conll(scratch).scheme


@given(st.text(alphabet="aO#-\t \n\r\u2028\ufeffBI-X", max_size=40))
def test_what_is_read_is_written_and_read_again(scratch, text):
    scratch.write_bytes(text.encode())
    try:
        corpus = read_conll(scratch)
    except CorpusError:
        return
    separator = "\t" if any(" " in w for s in corpus.sentences for w in s.words) else " "
    # A comment may look like a row, or a column be empty, once the separator has changed.
    with suppress(CorpusError):
        write_conll(corpus, scratch, separator=separator)
        assert read_conll(scratch) == corpus


# Writing

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r\0")
WORDS = st.one_of(
    st.text(CHARACTERS, min_size=1), st.sampled_from(["#", "#x", "O", "\ufeff", "\x85"])
)
COMMENTS = st.text(CHARACTERS).map(lambda text: f"# {text} a b c d")


@st.composite
def documents(draw, columns):
    made = []
    for _ in range(draw(st.integers(1, 3))):
        own = draw(st.lists(WORDS.filter(lambda w: w != "-DOCSTART-"), min_size=1, max_size=6))
        cut = draw(st.integers(0, len(own)))
        label = draw(st.sampled_from(["PER", "creative-work", "ü"]))
        halves = [LabelSpan(label, a, b) for a, b in [(0, cut), (cut, len(own))] if a < b]
        spans = [span for span in halves if draw(st.booleans())]
        further = [
            draw(st.lists(WORDS, min_size=len(own), max_size=len(own))) for _ in range(columns)
        ]
        comments = draw(st.lists(COMMENTS, max_size=2))
        made.append(Sentence.from_words(own, spans, columns=further, comments=comments))
    return Document.from_sentences(made)


@st.composite
def corpora(draw):
    columns = draw(st.integers(0, 2))
    made = draw(st.lists(documents(columns), min_size=1, max_size=3))
    if len(made) > 1 or draw(st.booleans()):
        line = " ".join(["-DOCSTART-", *["-X-"] * columns, "O"])
        made = [replace(document, metadata={"docstart": line}) for document in made]
    return Corpus(tuple(made))


@given(corpora(), st.sampled_from(["IOB1", "BIO", "BIOES"]), st.sampled_from([" ", "\t"]))
def test_a_corpus_is_written_and_read_back_whole(scratch, corpus, scheme, separator):
    write_conll(corpus, scratch, scheme=scheme, separator=separator)
    again = read_conll(scratch)
    assert again.documents == corpus.documents
    before = scratch.read_bytes()
    write_conll(again, scratch, scheme=scheme, separator=separator)
    assert scratch.read_bytes() == before


def test_documents_of_other_formats_get_docstart_lines():
    one = Document.from_sentences([Sentence.from_words(["a"], [LabelSpan("X", 0, 1)])])
    alone, both = io.StringIO(), io.StringIO()
    write_conll(Corpus((one,)), alone)
    write_conll(Corpus((one, one)), both, scheme="BIOES")
    assert alone.getvalue() == "a B-X\n\n"
    assert both.getvalue() == "-DOCSTART- O\n\na S-X\n\n" * 2


@pytest.mark.parametrize(
    ("sentence", "separator", "found"),
    [
        (Sentence.from_words(["New York"]), " ", "'New York' is empty or holds a blank"),
        (Sentence.from_words(["a\tb"]), "\t", "'a\\tb' holds a tab"),
        (Sentence.from_words([" a"]), "\t", "' a' begins or ends with a space"),
        (Sentence.from_words(["a\nb"]), "\t", "'a\\nb' holds a line break"),
        (Sentence.from_words(["a\ud800"]), " ", "'a\\ud800' holds half of a surrogate pair"),
        (Sentence.from_words(["-DOCSTART-"]), " ", "the word -DOCSTART- would start a document"),
        (Sentence.from_words(["a"], [LabelSpan("X Y", 0, 1)]), " ", "'X Y' is empty or holds"),
        (Sentence.from_words(["a"], columns=[[""]]), " ", "'' is empty or holds a blank"),
        (Sentence.from_words(["a"], comments=["a"]), " ", "'a' would not be read as a comment"),
        (Sentence.from_words(["a"], comments=["# O"]), " ", "'# O' would not be read as a comment"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, sentence, separator, found):
    path = tmp_path / "out.conll"
    with pytest.raises(CorpusError, match=r"out\.conll: ") as caught:
        write_conll(Corpus((Document.from_sentences([sentence]),)), path, separator=separator)
    assert caught.value.problems[0].found.startswith(found)
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(CorpusError, match="cannot be written: No such file or directory"):
        write_conll(Corpus(()), tmp_path / "nowhere" / "out")


def test_columns_must_agree_to_be_written():
    sentences = [Sentence.from_words(["a"]), Sentence.from_words(["b"], columns=[["x"]])]
    with pytest.raises(ValueError, match="different numbers"):
        write_conll(Corpus((Document.from_sentences(sentences),)), io.StringIO())


# Real files

SIZES = {
    "conll2003/train.txt": (946, 14041, 203621, 23499, " "),
    "conll2003/valid.txt": (216, 3250, 51362, 5942, " "),
    "wnut17/train.txt": (1, 3394, 62730, 1975, "\t"),
    "wnut17/dev.txt": (1, 1009, 15733, 836, "\t"),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_files_have_their_sizes_and_are_rewritten_to_the_byte(shared, tmp_path, name):
    *sizes, separator = SIZES[name]
    before = time.process_time()
    corpus = read_conll(shared / name)
    assert time.process_time() - before < 6
    sentences = list(corpus.sentences)
    entities = sum(len(s.entities) for s in sentences)
    assert [len(corpus), len(sentences), sum(map(len, sentences)), entities] == sizes
    assert corpus.scheme == "BIO"
    write_conll(corpus, tmp_path / "out", separator=separator)
    assert (tmp_path / "out").read_bytes() == (shared / name).read_bytes()


@pytest.mark.parametrize("scheme", ["IOB1", "BIOES"])
def test_a_real_file_reads_the_same_in_every_scheme(shared, tmp_path, scheme):
    corpus = read_conll(shared / "conll2003" / "valid.txt")
    write_conll(corpus, tmp_path / "out", scheme=scheme)
    again = read_conll(tmp_path / "out")
    assert again.scheme == scheme
    assert again.documents == corpus.documents
