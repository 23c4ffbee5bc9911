"""Words of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1, as coco-caption reads them."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.metrics.words.jars import java

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
DROPPED = {
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
}  # fmt: skip


def ptb(texts: Sequence[str]) -> list[list[str]]:
    """The lower-cased words of each text, without punctuation. Every text is one line."""
    once = [text for text in dict.fromkeys(texts) if text]  # the program passes over empty lines
    lines = "".join(f"{text}\n" for text in once)
    program = "edu.stanford.nlp.process.PTBTokenizer"
    printed = java("-cp", JAR, program, "-preserveLines", "-lowerCase", text=lines).split("\n")[:-1]
    if len(printed) != len(once):
        raise RuntimeError(f"{program} made {len(printed)} lines of {len(once)}")
    words = {
        text: [w for w in line.split(" ") if w and w not in DROPPED] for text, line in zip(once, printed, strict=True)
    }
    return [words.get(text, []) for text in texts]
