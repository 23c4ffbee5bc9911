"""What a user would write in place of `peft-run`: HF peft, `transformers.Trainer`, `generate`, scores; nothing of ours.

    python plain.py TASK.json RESULT.json

The task has the examples of each split, the model's folder, the text that the prompt starts from, and sizes.
"""

import json
import sys
from pathlib import Path

import sacrebleu
import torch
from peft import PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
from rouge_score.rouge_scorer import RougeScorer
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

ROUGE = ("rouge1", "rouge2", "rougeL")


def main(task_path: str, result_path: str) -> None:
    """Trains, predicts, scores, and writes what came out."""
    task = json.loads(Path(task_path).read_text(encoding="utf-8"))
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    tokenizer.pad_token = tokenizer.eos_token
    settings = PromptTuningConfig(
        task_type=TaskType.CAUSAL_LM, num_virtual_tokens=task["length"], prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=task["text"], tokenizer_name_or_path=task["model"],
    )  # fmt: skip
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32), settings)
    splits = {name: [encoded(tokenizer, example) for example in task[name]] for name in ("train", "validation")}
    arguments = TrainingArguments(
        output_dir=str(Path(result_path).parent / "trainer"), max_steps=task["steps"], learning_rate=task["lr"],
        per_device_train_batch_size=task["batch_size"], per_device_eval_batch_size=len(splits["validation"]),
        lr_scheduler_type="linear", warmup_steps=task["warmup_steps"], weight_decay=0.0, max_grad_norm=task["clip"],
        eval_strategy="steps", eval_steps=task["validate_every"], eval_on_start=True, save_strategy="steps",
        save_steps=task["validate_every"], load_best_model_at_end=True, save_total_limit=1, report_to="none",
        disable_tqdm=True, use_cpu=True, label_names=["labels"], remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(
        model=model, args=arguments, train_dataset=splits["train"], eval_dataset=splits["validation"],
        data_collator=lambda rows: collate(rows, tokenizer.eos_token_id),
    )  # fmt: skip
    trainer.train()
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    texts = written(model.eval(), tokenizer, [example["source"] for example in task["test"]], task)
    scores = scored(texts, [example["references"] for example in task["test"]])
    result = {"eval_losses": losses, "steps": trainer.state.global_step, "texts": texts, "scores": scores}
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def encoded(tokenizer, example: dict) -> dict:
    """The ids of source, separator, target and end; labels where the target is."""
    source = tokenizer(example["source"])["input_ids"] + [tokenizer.eos_token_id]
    target = tokenizer(" " + example["references"][0])["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": source + target, "labels": [-100] * len(source) + target}


def collate(rows: list[dict], pad: int) -> dict:
    """Tensors of a batch, padded on the right."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = [row["input_ids"] + [pad] * (longest - len(row["input_ids"])) for row in rows]
    labels = [row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows]
    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}


@torch.no_grad()
def written(model, tokenizer, sources: list[str], task: dict) -> list[str]:
    """What the model writes for each source, batch by batch."""
    tokenizer.padding_side, texts = "left", []
    for i in range(0, len(sources), task["predict_batch_size"]):
        part = [source + tokenizer.eos_token for source in sources[i : i + task["predict_batch_size"]]]
        batch = tokenizer(part, return_tensors="pt", padding=True)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        ids = model.generate(
            **inputs, max_new_tokens=task["max_new_tokens"], num_beams=task["beams"], do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        texts += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]


def scored(texts: list[str], references: list[list[str]]) -> dict[str, float]:
    """BLEU of all, and the mean of each ROUGE with the best reference, in per cent."""
    most = max(map(len, references))
    streams = [[own[i] if i < len(own) else None for own in references] for i in range(most)]
    scorer = RougeScorer(ROUGE, use_stemmer=True)
    found = [scorer.score_multi(own, text) for own, text in zip(references, texts, strict=True)]
    means = {name: 100 * sum(one[name].fmeasure for one in found) / len(found) for name in ROUGE}
    return {"bleu": sacrebleu.corpus_bleu(texts, streams).score, **means}


if __name__ == "__main__":
    main(*sys.argv[1:])
