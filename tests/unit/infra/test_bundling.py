"""What is deployed: the same bytes at every build, valid bytecode, nothing that only development needs."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import phonenumbers
import pytest

from infra.constructs import bundling
from infra.constructs.bundling import Bundle, Bundler, BundlingError
from infra.functions import FUNCTION_NAMES, FUNCTIONS, FunctionName
from infra.local.engine import PROJECT
from shared.domain.phone import to_e164

pytestmark = pytest.mark.long

LARGEST_ZIP = 25 * 1024 * 1024

# Every module a bundle loads must come from itself or from the standard library; what it sees, it counts.
IMPORT_AND_COUNT_ALONE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import functions.{name}.handler
from shared.aws.embedded_metrics import count
count("Heard", service="ingest")
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
homes = (sys.argv[1], os.path.dirname(os.__file__))
strangers = [file for file in files if file and (not file.startswith(homes) or "site-packages" in file)]
unasked = ("botocore.docs.bcdoc", "urllib3.http2.connection", "aws_lambda_powertools.event_handler.appsync")
print(strangers + [name for name in sys.modules if name.startswith(unasked)])
"""
# What ingest has loaded when it has prepared itself, but for its calls to AWS.
PREPARE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import functions.ingest.handler
from functions.ingest import composition
from shared.aws.stage_keys import StageKeys
from shared.workflows.intake.rehearsal import rehearse
stores = composition.stores()
stores.__dict__["keys"] = StageKeys(json.dumps({"version": 1, "key": "0" * 64}))
rehearse(stores, composition.now())
print(len(sys.modules))
"""
MOST_MODULES_OF_INGEST = 540
# Each Region's own example, as it is written there and abroad.
KEEP_A_BODY = """
import sys
sys.path.insert(0, sys.argv[1])
import botocore.session
client = botocore.session.get_session().create_client("s3", endpoint_url="http://127.0.0.1:9")
try:
    client.put_object(Bucket="kept", Key="body", Body=b"x")
except Exception as failed:
    print(type(failed).__name__)
"""
READ_NUMBERS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from shared.domain.phone import to_e164
print(json.dumps([to_e164(number, country) for country, number in json.loads(sys.stdin.read())]))
"""
DESCRIBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from functions.merchant_api.handler import handler
at = {"rawPath": "/openapi.json", "rawQueryString": "", "requestContext": {"http": {"method": "GET"}}}
print(handler({"version": "2.0", "headers": {}, "isBase64Encoded": False, **at}, None)["body"])
"""
MAKE_SAMPLES = """
import sys
sys.path.insert(0, sys.argv[1])
from datetime import UTC, datetime
from functions.merchant_api.samples import made_webhook
from shared.domain.ids import MerchantId, SourceId
from shared.domain.merchant import Merchant, Source
from shared.domain.sample import Sample
from shared.providers import registry
from shared.workflows.delivering.refusals import Conflict
now = datetime(2026, 11, 28, tzinfo=UTC)
shop = Merchant(MerchantId("mer_1"), "Tea", ("tea.example",), "IN", "INR", "UTC", now)
for name in registry.names():
    source = Source(SourceId("src_1"), shop.id, name, now)
    try:
        print(name, made_webhook(source, shop, "whsec_c2VjcmV0LXNlY3JldA==", Sample(), now, b"chance").name)
    except Conflict as refused:
        print(name, str(refused).partition(" its ")[0])
"""
Unpacked = Callable[[FunctionName], Path]
DOES_NOTHING = "KINDS = {'C', 'S', 'R'}\n\ndef handler(event, context):\n    return event in {'a', 'b'}\n"


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project whose ``sweep`` does nothing, with the real packages."""
    project = tmp_path / "project"
    for file, text in {
        "functions/__init__.py": "",
        "functions/sweep/__init__.py": "",
        "functions/sweep/handler.py": DOES_NOTHING,
        "shared/__init__.py": "",
    }.items():
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text(text)
    shutil.copytree(PROJECT / "requirements", project / "requirements")
    return project


class Kept(Bundler):
    """Builds each once: nothing that it is made of changes while tests run."""

    def __init__(self) -> None:
        super().__init__("native")
        self._built: dict[FunctionName, Bundle] = {}

    def build(self, name: FunctionName) -> Bundle:
        if name not in self._built:
            self._built[name] = super().build(name)
        return self._built[name]


@pytest.fixture(scope="session")
def bundler() -> Bundler:
    """The project's own bundles, for this machine; kept between runs."""
    return Kept()


@pytest.fixture
def kept_packages(bundler: Bundler, tmp_path: Path) -> Path:
    """A cache of its own that has the packages the project has installed already."""
    bundler.build("sweep")
    cache = tmp_path / "kept"
    cache.mkdir()
    for part in (PROJECT / ".bundles").glob("part-*"):
        if "-own-" not in part.name:  # a link is not dropped with the older parts of our own code
            (cache / part.name).symlink_to(part)
    return cache


@cache
def provided(package: str) -> frozenset[str]:
    """The names at the top of what the package installs: those of modules without their suffix."""
    record = distribution(package).read_text("RECORD")
    assert record is not None
    return frozenset(re.split(r"[/.,]", line, maxsplit=1)[0] for line in record.splitlines())


@pytest.fixture(scope="session")
def proved() -> set[tuple[str, int]]:
    """Bytecode that was looked at in another bundle, by name and checksum: most packages are in several."""
    return set()


@pytest.fixture(scope="module", params=FUNCTION_NAMES)
def function(request: pytest.FixtureRequest) -> FunctionName:
    """One after the other, so that of two processes each builds and unpacks its own half."""
    name: FunctionName = request.param
    return name


@pytest.fixture(scope="module")
def unpacked(bundler: Bundler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unpacked]:
    """A function's bundle as Lambda has it on its disk. Nobody writes there, so what several have is written once."""
    folder = tmp_path_factory.mktemp("unpacked")
    written: dict[tuple[str, int, int], Path] = {}

    @cache
    def of(name: FunctionName) -> Path:
        with zipfile.ZipFile(bundler.build(name).path) as archive:
            for entry in archive.infolist():
                same = (entry.filename, entry.CRC, entry.file_size)
                if same in written:
                    link = folder / name / entry.filename
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.hardlink_to(written[same])
                else:
                    written[same] = Path(archive.extract(entry, folder / name))
        return folder / name

    yield of
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def archive(bundler: Bundler, function: FunctionName) -> Iterator[zipfile.ZipFile]:
    """The function's bundle, as it is deployed."""
    with zipfile.ZipFile(bundler.build(function).path) as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(unpacked: Unpacked, function: FunctionName) -> str:
    """What a function says that is loaded, and counts, with nothing but its bundle."""
    return run_alone(IMPORT_AND_COUNT_ALONE.format(name=function), unpacked(function))


def modules(archive: zipfile.ZipFile) -> Iterator[tuple[str | None, str]]:
    """Each module's source, where it is shipped, and its bytecode."""
    for name in archive.namelist():
        if name.endswith(".py"):
            folder, _, file = name.rpartition("/")
            yield name, f"{folder}/__pycache__/{file[:-3]}.cpython-313.pyc".lstrip("/")
        elif name.endswith(".pyc") and "__pycache__" not in name:
            yield None, name


def own_code(function: FunctionName) -> set[str]:
    """The project's own packages in a bundle."""
    return {"functions", "shared", *(("checkback",) if FUNCTIONS[function].samples else ())}


def test_two_builds_are_the_same_bytes(small_project: Path, tmp_path: Path, kept_packages: Path) -> None:
    caches = (tmp_path / "empty", kept_packages)
    builds = [Bundler("native", project=small_project, cache=cache).build("sweep") for cache in caches]

    assert builds[0].path.read_bytes() == builds[1].path.read_bytes()
    assert builds[0].digest == builds[1].digest


def test_a_bundle_is_built_again_only_when_its_sources_change(small_project: Path, kept_packages: Path) -> None:
    bundler = Bundler("native", project=small_project, cache=kept_packages)
    first = bundler.build("sweep")
    built_at = first.path.stat().st_mtime_ns

    assert bundler.build("sweep").path.stat().st_mtime_ns == built_at

    (small_project / "shared" / "__init__.py").write_text("CHANGED = True\n")
    assert bundler.build("sweep").digest != first.digest


def test_a_function_without_a_handler_is_refused(small_project: Path, tmp_path: Path) -> None:
    with pytest.raises(BundlingError, match=r"functions/ingest/handler\.py is missing"):
        Bundler("native", project=small_project, cache=tmp_path).build("ingest")


def test_a_package_with_another_hash_is_refused(small_project: Path, tmp_path: Path) -> None:
    lock = small_project / "requirements" / "sweep.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text()))

    with pytest.raises(BundlingError, match=r"installing sweep\.txt for .* failed"):
        Bundler("native", project=small_project, cache=tmp_path).build("sweep")


def test_code_that_does_not_compile_is_refused(small_project: Path, kept_packages: Path) -> None:
    (small_project / "shared" / "broken.py").write_text("def :\n")

    with pytest.raises(BundlingError, match="invalid syntax"):
        Bundler("native", project=small_project, cache=kept_packages).build("sweep")


def test_a_package_that_several_functions_need_is_installed_once(small_project: Path, kept_packages: Path) -> None:
    (small_project / "functions" / "campaign").mkdir()
    (small_project / "functions" / "campaign" / "handler.py").write_text(DOES_NOTHING)
    bundler = Bundler("native", project=small_project, cache=kept_packages)

    bundler.build("sweep")
    installed = set(kept_packages.glob("part-*"))

    bundler.build("campaign")

    made = {part.name.split("-", 2)[2] for part in set(kept_packages.glob("part-*")) - installed}
    assert "own-campaign" in made
    assert not {"own-shared", "boto3", "botocore", "aws-lambda-powertools"} & made


def test_every_module_has_bytecode_that_is_used_unchecked(
    archive: zipfile.ZipFile, proved: set[tuple[str, int]]
) -> None:
    names = set(archive.namelist())
    found = list(modules(archive))
    assert len(found) > 100
    for source, compiled in found:
        assert compiled in names, source
        same = (compiled, archive.getinfo(compiled).CRC)
        if source is None and same in proved:
            continue
        proved.add(same)
        with archive.open(compiled) as bytecode:
            header = bytecode.read(16)
        assert header[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(header[4:8], "little") == 0b01  # hash-based, source not checked
        if source is not None:
            assert header[8:16] == importlib.util.source_hash(archive.read(source))


def test_traces_show_the_lines_of_our_own_code_and_packages_come_without_source(
    archive: zipfile.ZipFile, function: FunctionName
) -> None:
    names = archive.namelist()

    assert {name.split("/")[0] for name in names if name.endswith(".py")} == own_code(function)
    assert "botocore/client.pyc" in names


def test_only_a_function_that_routes_requests_ships_the_router(
    archive: zipfile.ZipFile, function: FunctionName
) -> None:
    shipped = any(name.startswith("aws_lambda_powertools/event_handler/") for name in archive.namelist())

    assert shipped == FUNCTIONS[function].routes


def test_the_list_of_endpoints_names_the_functions_own_services(archive: zipfile.ZipFile) -> None:
    """Reading all services' costs every cold start."""
    listed = json.loads(archive.read("botocore/data/endpoints.json"))

    own = {"kms", "dynamodb", "events", "s3", "scheduler", "secretsmanager", "sqs", "sts"}
    named = {service for partition in listed["partitions"] for service in partition["services"]}
    assert named <= own
    assert {"dynamodb"} <= named
    assert listed["partitions"][0]["regions"]["ap-south-1"]


def test_ingest_unpacked_stays_below_its_ceiling(bundler: Bundler) -> None:
    with zipfile.ZipFile(bundler.build("ingest").path) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) <= 25 * 2**20


def run_alone(script: str, bundle: Path, given: str = "") -> str:
    """What the script writes that has the bundle and the standard library alone."""
    run = subprocess.run(
        [sys.executable, "-S", "-E", "-c", script, str(bundle)],
        check=False,
        capture_output=True,
        input=given,
        text=True,
        cwd=bundle,
        env={
            "AWS_DEFAULT_REGION": "ap-south-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **json.loads((PROJECT / "tests/unit/infra/function_environment.json").read_text()),
        },
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_bundle_counts_what_it_sees(alone: str) -> None:
    assert '"Heard":[1.0]' in alone


def test_ingest_loads_no_more_modules_than_its_ceiling(unpacked: Unpacked) -> None:
    assert int(run_alone(PREPARE, unpacked("ingest"))) <= MOST_MODULES_OF_INGEST


def test_the_api_describes_itself_from_its_bundle_alone(unpacked: Unpacked) -> None:
    *_, told = run_alone(DESCRIBE, unpacked("merchant_api")).splitlines()

    assert json.loads(told) == json.loads((PROJECT / "docs" / "openapi.json").read_text())


def test_a_bundle_reads_numbers_as_the_whole_package_does(unpacked: Unpacked) -> None:
    examples = [(region, phonenumbers.example_number(region)) for region in sorted(phonenumbers.SUPPORTED_REGIONS)]
    forms = phonenumbers.PhoneNumberFormat
    written = [
        (region, phonenumbers.format_number(number, form))
        for region, number in examples
        if number is not None
        for form in (forms.NATIONAL, forms.INTERNATIONAL, forms.E164)
    ]
    assert len(written) > 700

    read = json.loads(run_alone(READ_NUMBERS, unpacked("ingest"), json.dumps(written)))

    assert read == [to_e164(number, region) for region, number in written]
    assert read.count(None) < 10


def test_models_of_services_come_without_their_description(archive: zipfile.ZipFile) -> None:
    models = [name for name in archive.namelist() if re.fullmatch(r"botocore/data/.*/service-2\.json", name)]
    assert models
    for name in models:
        model = archive.read(name)
        assert not re.search(rb'"documentation":"[^"]', model)
        assert json.loads(model)["operations"]
    assert not [name for name in archive.namelist() if name.endswith(".json.gz")]


def test_a_bundles_s3_gets_as_far_as_the_connection(unpacked: Unpacked) -> None:
    assert run_alone(KEEP_A_BODY, unpacked("ingest")).split() == ["EndpointConnectionError"]


def test_a_package_that_no_longer_has_what_is_taken_out_is_refused(
    small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = (PROJECT / "requirements" / "ingest.txt").read_text()
    pinned = re.search(r"^phonenumberslite==(?:.*\\\n)*.*$", lock, re.MULTILINE)
    assert pinned is not None
    (small_project / "requirements" / "sweep.txt").write_text(pinned[0])
    changed = {"phonenumbers/__init__.py": r"(?m)^from \.another import .*\n"}
    monkeypatch.setattr(bundling, "_NEVER_ASKED", {"phonenumberslite": changed})

    with pytest.raises(BundlingError, match="no longer has what is taken out of it"):
        Bundler("native", project=small_project, cache=tmp_path / "cache").build("sweep")


def test_a_bundle_holds_only_locked_packages_and_its_own_code(
    bundler: Bundler, archive: zipfile.ZipFile, function: FunctionName
) -> None:
    lock = (PROJECT / "requirements" / f"{function}.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE)
    assert len(locked) > 5
    of_packages = frozenset().union(*map(provided, locked))
    names = archive.namelist()

    for top in {name.split("/")[0].removesuffix(".py") for name in names if ".dist-info/" not in name}:
        shown = {own.partition("/")[0] for own in FUNCTIONS[function].carries}
        if top in {*own_code(function), *shown, "__pycache__"} or "." in top:
            continue
        assert top in of_packages
    assert {name.split("/")[1] for name in names if name.startswith("functions/")} <= {
        function, *FUNCTIONS[function].calls, "__init__.py", "__pycache__",
    }  # fmt: skip
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", "py.typed"))]
    assert not [name for name in names if name.startswith("botocore/data/ec2/")]
    assert bundler.build(function).path.stat().st_size < LARGEST_ZIP


def test_a_bundle_imports_with_nothing_but_itself(alone: str) -> None:
    assert alone.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["merchant_api", "console"])
def test_who_sends_samples_can_make_one_of_every_provider(
    bundler: Bundler, name: FunctionName, unpacked: Unpacked
) -> None:
    with zipfile.ZipFile(bundler.build(name).path) as archive:
        samples = [own for own in archive.namelist() if own.startswith("checkback/samples/")]

    told = run_alone(MAKE_SAMPLES, unpacked(name)).splitlines()

    assert len(told) == 11
    assert "flexype acr" in told
    assert [own for own in told if "the key that signs" in own] == ["wix Only the provider has the key that signs"]
    assert len(samples) == 2 * 11
