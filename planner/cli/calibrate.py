"""``plan calibrate``: fit a device's operators to measured tables."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.types import INTEGER, Hinted, options

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile, FittedSet


@click.command("calibrate")
@click.argument("data", metavar="DIR")
@click.option(
    "-o",
    "--output",
    metavar="PROFILE.toml",
    required=True,
    help="The device's profile with the fitted parameters.",
)
@click.option(
    "--device", metavar="DEVICE", help="The device to calibrate, if the tables hold several."
)
@click.option("--only", metavar="A,B", help="Operators to fit (all that have a table).")
@click.option(
    "--few",
    type=INTEGER,
    metavar="N",
    help="Start from a related device and refit to N rows.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="The model that plan verify measured, if it is not bundled.",
)
@click.option(
    "--source",
    metavar="TEXT",
    default="Measured by the user",
    show_default=True,
    help="Where the tables come from.",
)
@click.option("--date", metavar="YYYY-MM-DD", help="Of the calibration (default: today).")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@options("hardware_dir", "json", "quiet")
def calibrate_command(
    data: str,
    output: str,
    device: str | None,
    only: str | None,
    few: int | None,
    model: str | None,
    source: str,
    date: str | None,
    force: bool,
    hardware_dir: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit kernels to the measured tables in DIR and write a device profile.

    DIR holds kernel timings, or the results of `plan measure` or `plan verify`; from the latter
    one correction factor is kept for that model and engine on this machine.
    """
    from planner.lab.calibration.run import calibrate
    from planner.lookup import load_model
    from planner.messages.words import in_language
    from planner.report.view.measure import calibrate_view
    from planner.report.view.verb_words import verb_phrases

    target = Path(output)
    profile, relative = _devices(Path(data), device, hardware_dir, few is not None)
    # The profile that plan measure wrote beside its tables is brought up to date: it stays whole.
    if target.exists() and not force and not _is_same(target, Path(profile.path)):
        raise Hinted(f"{output} exists", "give another file, or --force to replace it")
    if target.stem != profile.id:
        raise Hinted(
            f"{output} would not be found as {profile.id}",
            f"name the file {profile.id}.toml; --hardware-dir takes its folder",
        )
    names = [n.strip() for n in (only or "").split(",") if n.strip()]
    with working("fitting operators", quiet=quiet):
        result = calibrate(
            Path(data),
            profile,
            source=source,
            date=date or _today(),
            only=names,
            few=few,
            relative=relative,
            model=None if model is None else load_model(model),
        )
    _write(target, result.text)
    lang = language()
    words = verb_phrases("calibrate", lang)
    if not quiet:
        for name, why in result.skipped:
            click.echo(words("stderr.not_fitted", name=name, why=in_language(why, lang)), err=True)
        click.echo(words("stderr.wrote", file=output), err=True)
    if as_json:
        from planner.cli.files import print_json

        print_json(
            {
                "device": result.device,
                "fits": [fit_errors(f) for f in result.fits],
                "skipped": [{"name": n, "reason": why} for n, why in result.skipped],
            }
        )
        return
    print_view(calibrate_view(result.fits, lang))


def _devices(
    data: Path, name: str | None, folder: str | None, carry: bool
) -> tuple[DeviceProfile, DeviceProfile | None]:
    """(the device to calibrate, its relative where one is wanted and named)."""
    import planner
    from planner.lab.calibration.run import devices_in

    if name is None:
        measured_devices = devices_in(data)
        if len(measured_devices) != 1:
            raise Hinted(
                f"{data} holds tables of {', '.join(measured_devices) or 'no device'}",
                "choose one with --device"
                if measured_devices
                else "the columns of each table are in docs/guide/measure.md",
            )
        name = measured_devices[0]
    if folder is None and (data / f"{name}.toml").is_file():
        folder = str(data)
    profile = planner.load_device(name, hardware_dir=folder)
    if not carry or not profile.transfer_from:
        return profile, None
    return profile, planner.load_device(profile.transfer_from, hardware_dir=folder)


def fit_errors(fit: FittedSet) -> dict[str, Any]:
    """A set as JSON values; errors are relative."""
    return {
        "operator": fit.operator,
        "stack": fit.stack,
        "software": fit.software,
        "variant": fit.variant,
        "parameters": dict(fit.parameters),
        "note": fit.note,
        "error": asdict(fit.error),
    }


def _is_same(target: Path, read: Path) -> bool:
    return read.is_file() and target.samefile(read)


def _today() -> str:
    import datetime

    return datetime.date.today().isoformat()


def _write(target: Path, text: str) -> None:
    """Write ``text`` in one step: a reader sees the old file or the new one. The folder is made."""
    from planner.base.atomic_files import replace_text

    target.parent.mkdir(parents=True, exist_ok=True)
    replace_text(target, text)
