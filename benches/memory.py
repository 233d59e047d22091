#!/usr/bin/env python3
"""What an ingest takes at most, whatever the size and kind of its input.

    python3 benches/memory.py target/release/kvaudit [--scale 1.0] [--only NAME]

Makes each input, ingests it into a store of its own and prints the peak resident memory (from wait4), the time and the
counts. At scale 1: five million records, 200,000 records of 9 KB, 100,000 files of one record, ten million bad lines of two bytes, 20,000 bad lines of
64 KiB, and a store with 500 commits that is ingested into once more. Needs a few GB of disk below TMPDIR.
"""
import argparse, datetime, json, os, shutil, subprocess, sys, tempfile, threading, time

START = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None) - datetime.timedelta(days=100)
LIMIT_MB = 400


def record(n, seconds, more=""):
    vault, caller, name = n * 7919 % 40, n * 104729 % 300, n * 1299709 % 5000
    at = (START + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    vault_name = f"KV-SHOP-{vault:03}"
    more = f'"more":"{more}",' if more else ""
    url = f"https://{vault_name.lower()}.vault.azure.net/secrets/secret-{name}/0123456789abcdef0123456789abcdef"
    return (
        f'{{"time":"{at}","category":"AuditEvent","resourceId":"/SUBSCRIPTIONS/11111111-1111-1111-1111-111111111111'
        f'/RESOURCEGROUPS/RG-SHOP/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/{vault_name}","operationName":"SecretGet",'
        f'"operationVersion":"7.4","resultType":"Success","resultSignature":"OK","resultDescription":"","durationMs":"{n % 90}",'
        f'"callerIpAddress":"10.1.{caller % 250}.{n % 250}","correlationId":"{n:08x}-0000-4000-8000-{n * 31 % 2**40:012x}",'
        f'"identity":{{"claim":{{"oid":"aaaaaaaa-0000-0000-0000-{caller:012}","appid":"bbbbbbbb-0000-0000-0000-{caller:012}",'
        f'"idtyp":"app","xms_mirid":"/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/rg-shop/providers/'
        f'Microsoft.ManagedIdentity/userAssignedIdentities/id-shop-{caller}"}}}},"properties":{{"id":"{url}","clientInfo":'
        f'"azsdk-net-Security.KeyVault.Secrets/4.5.0 (.NET 8.0.1; Linux)","requestUri":"{url}?api-version=7.4",'
        f'"httpStatusCode":200,{more}"isRbacAuthorized":true,"tlsVersion":"TLS1_2"}}}}\n'
    )


def measured(program, store, sources, feed=None):
    """Runs one ingest; (peak MB, seconds, report)."""
    started = time.time()
    command = [program, "ingest", "--no-progress", "--format", "json", "--store", store, *sources]
    child = subprocess.Popen(command, stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=subprocess.PIPE)
    if feed:
        def pump():
            try:
                for piece in feed:
                    child.stdin.write(piece.encode())
                child.stdin.close()
            except BrokenPipeError:
                pass
        threading.Thread(target=pump, daemon=True).start()
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    report = json.loads(out) if child.returncode == 0 else {}
    return usage.ru_maxrss / 1024, time.time() - started, child.returncode, report


def records(count, more=""):
    per_second = max(1, count // (30 * 86_400))
    chunk = []
    for n in range(count):
        chunk.append(record(n, n / per_second % (60 * 86_400), more and more + str(n)))
        if len(chunk) == 1_000:
            yield "".join(chunk)
            chunk = []
    yield "".join(chunk)


def repeated(line, count):
    chunk = line * min(count, 10_000)
    for _ in range(count // 10_000):
        yield chunk
    yield line * (count % 10_000)


def behind_one(pieces):
    """Behind one record: an input of nothing but scraps is refused as a whole."""
    yield record(0, 0)
    yield from pieces


def many_files(folder, count):
    """An archive as Azure writes it: a folder for every hour."""
    base = os.path.join(folder, "resourceId=", "SUBSCRIPTIONS", "1" * 36, "RESOURCEGROUPS", "RG", "PROVIDERS",
                        "MICROSOFT.KEYVAULT", "VAULTS")
    for n in range(count):
        at = START + datetime.timedelta(hours=n % 2_000)
        hour = at.strftime("y=%Y/m=%m/d=%d/h=%H/m=00")
        path = os.path.join(base, f"KV-{n // 2_000:04}", hour)
        os.makedirs(path)
        with open(os.path.join(path, "PT1H.json"), "w") as file:
            file.write(record(n, n % 2_000 * 3_600 + n // 2_000))
    return folder


def commits(program, store, count):
    for n in range(count):
        measured(program, store, ["-"], [record(n, n * 60)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only")
    args = parser.parse_args()
    n = lambda count: max(1, int(count * args.scale))
    folder = tempfile.mkdtemp(prefix="kvaudit-memory-")
    program = os.path.abspath(args.program)
    cases = [
        ("records", n(5_000_000), lambda store, count: measured(program, store, ["-"], records(count))),
        ("large-records", n(200_000), lambda store, count: measured(program, store, ["-"], records(count, "x" * 8_000))),
        ("files", n(100_000), lambda store, count: measured(program, store, [many_files(store + "-logs", count)])),
        ("bad-lines", n(10_000_000), lambda store, count: measured(program, store, ["-"], behind_one(repeated("x\n", count)))),
        ("long-bad-lines", n(20_000), lambda store, count: measured(program, store, ["-"], behind_one(repeated("x" * 65_535 + "\n", count)))),
        ("commits", n(500), lambda store, count: (
            commits(program, store, count), measured(program, store, ["-"], records(200_000)))[1]),
    ]
    print(f"{'input':16} {'count':>12} {'peak MB':>9} {'seconds':>9}  report", flush=True)
    worst = 0.0
    try:
        for name, count, run in cases:
            if args.only in (None, name):
                store = os.path.join(folder, name)
                peak, seconds, code, report = run(store, count)
                told = {k: report.get(k) for k in ("records_read", "events_written", "quarantined")} if report else f"exit {code}"
                print(f"{name:16} {count:12,} {peak:9.0f} {seconds:9.1f}  {told}", flush=True)
                worst = max(worst, peak if code == 0 else float("inf"))
                shutil.rmtree(store, ignore_errors=True)
                shutil.rmtree(store + "-logs", ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if worst <= LIMIT_MB else 1)


main()
