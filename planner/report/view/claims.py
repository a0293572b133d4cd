"""The view of ``plan claims``: a claim each with its verdict, the article's words, what was
computed.

Findings are told in English, as quotations where the answer is in another language; the article's
own words are Chinese.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.report.phrases import Phrases
from planner.report.view.record import Items, Prose, Section, View
from planner.report.view.verb_words import data_text, shared_word, verb_phrases, word

VERB = "claims"
Values = Mapping[str, Any]


def claims_view(data: Values, lang: str) -> View:
    """The whole answer, of the JSON values of the claims."""
    t = verb_phrases(VERB, lang)
    counts = t("list.comma").join(
        t("head.count", n=n, verdict=word(t, "verdict", verdict))
        for verdict, n in data["verdicts"].items()
    )
    turned = t("list.comma").join(
        t(
            "head.turned",
            id=claim["id"],
            old=word(t, "verdict", claim["before"]["verdict"]),
            new=word(t, "verdict", claim["verdict"]),
        )
        for claim in data["claims"]
        if claim["before"] is not None and claim["before"]["verdict"] != claim["verdict"]
    )
    version = data["version_before"]
    others = t("head.others", version=version, names=turned or t("head.none"))
    sections = [Section("", (Prose(counts), Prose(others)))]
    sections += [_claim(t, claim, version) for claim in data["claims"]]
    return View(data["article"]["title"], (), tuple(sections))


def _claim(t: Phrases, claim: Values, version: str) -> Section:
    verdict = word(t, "verdict", claim["verdict"])
    heading = t("claim.heading", id=claim["id"], verdict=verdict, claim=claim["english"])
    if t.lang != "en":
        heading = t("claim.heading", id=claim["id"], verdict=verdict, claim=f"“{claim['quote']}”")
    texts = [f"“{claim['quote']}”"] if t.lang == "en" else []
    texts.append(data_text(claim["finding"], t.lang))
    if len(claim["parts"]) > 1:
        texts += [
            t(
                "claim.part",
                verdict=word(t, "verdict", part["verdict"]),
                text=data_text(part["text"], t.lang),
            )
            for part in claim["parts"]
        ]
    names = dict.fromkeys(shared_word(t, "basis", f["basis"]) for f in claim["computed"])
    sure = all(f["low"] is None for f in claim["computed"])
    texts.append(
        t("claim.basis", names=t("list.comma").join(names)) + ("" if sure else t("claim.intervals"))
    )
    if claim["before"] is not None:
        before = claim["before"]
        texts.append(
            t(
                "claim.before",
                version=version,
                verdict=word(t, "verdict", before["verdict"]),
                found=data_text(before["found"], t.lang),
                why=data_text(before["why"], t.lang),
            )
        )
    titles = t("list.join").join(data_text(s["title"], t.lang) for s in claim["sources"])
    texts.append(t("claim.source", titles=titles))
    return Section(heading, (Items(tuple(texts)),))
