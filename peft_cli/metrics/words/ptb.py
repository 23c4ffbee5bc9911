"""Words of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, as coco-caption reads them."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics.words.jars import run_java

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
DROPPED = {
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
}  # fmt: skip


def ptb(texts: Sequence[str]) -> list[list[str]]:
    """The lower-cased words of each text, without punctuation. A text has no line break."""
    distinct = [text for text in dict.fromkeys(texts) if text]  # the program skips empty lines
    lines = "".join(f"{text}\n" for text in distinct)
    program = "edu.stanford.nlp.process.PTBTokenizer"
    printed = run_java("-cp", JAR, program, "-preserveLines", "-lowerCase", text=lines).split("\n")[:-1]
    if len(printed) != len(distinct):
        raise ChildProcessError(f"{program} wrote {len(printed)} lines for {len(distinct)} texts")
    kept = [[word for word in line.split(" ") if word and word not in DROPPED] for line in printed]
    words = dict(zip(distinct, kept, strict=True))
    return [words.get(text, []) for text in texts]
