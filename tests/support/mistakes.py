"""What people get wrong in a service.yaml, and what they must be told: each a change of one good file."""

from typing import Final

GOOD: Final = """\
service: hello
bake:
  files:
    hello.py: /app/hello.py
  command: [python3, /app/hello.py]
environments:
  - name: production
    platform: process
    replicas: 2
    strategy:
      kind: canary
      weights: [10, 50]
    observe:
      interval_seconds: 5
"""


SYNTAX: Final[dict[str, tuple[str | bytes, str]]] = {
    "an empty file": ("", "1:1: the file is empty"),
    "only a comment": ("# nothing\n", "1:1: the file is empty"),
    "a list": ("- service: hello\n", "1:1: found a list; a service is a mapping"),
    "a text": ("hello\n", "1:1: found 'hello'; a service is a mapping"),
    "a tab": (
        "service: hello\nbake:\n\tfiles: {}\n",
        "3:1: while scanning for the next token found character '\\t' that cannot start",
    ),
    "a missing bracket": ("service: [hello\n", "2:1: while parsing a flow sequence"),
    "two documents": ("service: a\n---\nservice: b\n", "2:1: a second document begins here"),
    "two in one line": ("service: hello: you\n", "1:15: mapping values are not allowed here"),
    "not UTF-8": (
        "service: hello\n# f\u00fcr\n".encode("latin-1"),
        "2:4: the file is not UTF-8 (byte 0xfc)",
    ),
    "UTF-16": ("service: hello\n".encode("utf-16"), "1:1: the file is not UTF-8 (byte 0xff)"),
    "a control character": (
        "service: he\x07llo\n",
        "1:12: the character '\\x07' may not be in YAML",
    ),
    "an unknown alias": ("service: *name\n", "1:10: found undefined alias"),
    "an alias to itself": (
        "service: &a [*a]\n",
        "an alias (*) points to what it is itself part of",
    ),
    "a tag": (
        "service: !!python/name:os.system\n",
        "1:10: the tag tag:yaml.org,2002:python/name:os.system",
    ),
    "a name twice": (
        GOOD + "service: again\n",
        "15:1: `service` is there twice; it stands in line 1",
    ),
    "a merge key": ("a: &a {}\n<<: *a\n", "2:1: `<<` is not part of YAML 1.2"),
    "a list as a name": ("? [a]\n: b\n", "1:3: a name must be a text"),
    "no number": ("service: !!int hello\n", "1:10: 'hello' is not a number"),
    "a number without end": ("service: " + "9" * 5000 + "\n", "is not a number"),
    "too deep": ("[" * 20_000, "1:1: it is nested too deeply"),
    "a bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "it holds more than 10000 values",
    ),
}


CONTENT: Final[dict[str, tuple[str, str, str]]] = {
    "an unknown setting": (
        "      weights:",
        "      weigths:",
        (
            "12:7: environments[0].strategy.weigths: is not a setting, did you mean `weights`?;"
            " known here: kind, weights, replicas, baseline"
        ),
    ),
    "an unknown setting at the top": (
        "service: hello",
        "service: hello\nenviroments: []",
        "2:1: enviroments: is not a setting, did you mean `environments`?",
    ),
    "a setting that has moved": (
        "service: hello",
        "service: hello\nscan: {fail_on: [HIGH]}",
        "2:1: scan: is not a setting any more: what may be known to be wrong is a policy's to say; name one by `policy:`",
    ),
    "an unknown setting like nothing": (
        "service: hello",
        "service: hello\nzzz: 1",
        "2:1: zzz: is not a setting; known here: service, repository, bake",
    ),
    "an unknown platform": (
        "platform: process",
        "platform: proces",
        "8:15: environments[0].platform: found 'proces', did you mean `process`?; allowed: process or docker or memory",
    ),
    "an unknown kind": (
        "kind: canary",
        "kind: canery",
        "environments[0].strategy: found kind 'canery', did you mean `canary`?; allowed: all-at-once, blue-green, canary",
    ),
    "no kind": (
        "      kind: canary\n",
        "",
        "environments[0].strategy: has no `kind`; allowed: all-at-once, blue-green, canary",
    ),
    "a text for a number": (
        "replicas: 2",
        "replicas: '2'",
        (
            "9:15: environments[0].replicas: found '2'; allowed: a whole number at least 1 and at most 1000"
            " (instances that serve)"
        ),
    ),
    "true for a number": (
        "replicas: 2",
        "replicas: true",
        "9:15: environments[0].replicas: found true",
    ),
    "yes for true": (
        "replicas: 2",
        "needs_approval: yes",
        "9:21: environments[0].needs_approval: found 'yes'; allowed: true or false",
    ),
    "infinity": (
        "interval_seconds: 5",
        "deadline_seconds: .inf",
        "14:25: environments[0].observe.deadline_seconds: found inf; allowed: a number above 0",
    ),
    "a number for a name": (
        "service: hello",
        "service: 12",
        "1:10: service: found 12; allowed: a text",
    ),
    "a name that is none": (
        "service: hello",
        "service: Hello World",
        "1:10: service: found 'Hello World'; allowed: a text (its name)",
    ),
    "nothing": (
        "name: production",
        "name:",
        "7:5: environments[0].name: found nothing; allowed: a text",
    ),
    "an environment that is missing": (
        "    platform: process\n",
        "",
        "7:5: environments[0].platform: is missing; it is process or docker or memory",
    ),
    "no environments": (
        GOOD[GOOD.index("environments:") :],
        "environments: []\n",
        "6:15: environments: found a list; allowed: a list with 1 or more entries",
    ),
    "a weight too large": (
        "[10, 50]",
        "[10, 100]",
        "12:21: environments[0].strategy.weights[1]: found 100; allowed: a whole number at least 1 and at most 99",
    ),
    "weights that fall": (
        "[10, 50]",
        "[50, 10]",
        "12:16: environments[0].strategy.weights: found [50, 10]; they must grow from step to step",
    ),
    "too many canaries": (
        "weights: [10, 50]",
        "replicas: 3",
        "12:17: environments[0].strategy.replicas: found 3 canary instances, more than the 2 that shall serve",
    ),
    "too much baseline": (
        "weights: [10, 50]",
        "baseline: 9",
        "12:17: environments[0].strategy.baseline: canary and baseline would need 100 % of the traffic",
    ),
    "a soak after the deadline": (
        "interval_seconds: 5",
        "minimum_seconds: 2000",
        "14:24: environments[0].observe.minimum_seconds: found 2000, longer than deadline_seconds (1800)",
    ),
    "a deadline before the soak that is meant if none is given": (
        "interval_seconds: 5",
        "deadline_seconds: 30",
        "13:5: environments[0].observe.minimum_seconds: found 60, longer than deadline_seconds (30)",
    ),
    "no patience": (
        "interval_seconds: 5",
        "patience_seconds: 1",
        "14:25: environments[0].observe.patience_seconds: found 1, shorter than interval_seconds (10)",
    ),
    "a latency in seconds": (
        "service: hello",
        "service: hello\nobjectives: {latency: {threshold_ms: 0.25}}",
        "2:38: objectives.latency.threshold_ms: found 0.25; allowed: a number at least 1 and at most 600000",
    ),
    "an objective in percent": (
        "service: hello",
        "service: hello\nobjectives: {errors: {objective: 99}}",
        "2:34: objectives.errors.objective: found 99; allowed: a number above 0 and below 1",
    ),
    "an environment twice": (
        "environments:\n",
        "environments:\n  - {name: production, platform: process}\n",
        "8:11: environments[1].name: 'production' is the name of another environment already",
    ),
    "a port twice": (
        "environments:\n  - name: production\n",
        (
            "environments:\n  - {name: a, platform: process, listen_port: 8080}\n"
            "  - name: b\n    listen_port: 8080\n"
        ),
        "9:18: environments[1].listen_port: another environment listens on 8080 already",
    ),
    "a registry with a scheme": (
        "service: hello",
        "service: hello\nrepository: https://registry.example.com/hello",
        "2:13: repository: found 'https://registry.example.com/hello'; allowed: `host[:port]/name`",
    ),
    "a registry with a tag": (
        "service: hello",
        "service: hello\nrepository: registry.example.com/hello:1",
        "2:13: repository: found 'registry.example.com/hello:1'",
    ),
    "a base by tag": (
        "bake:\n",
        "bake:\n  base: registry.example.com/python:3.12\n",
        "3:9: bake.base: found 'registry.example.com/python:3.12'; allowed: `scratch`",
    ),
    "a layout that is none": (
        "bake:\n",
        f"bake:\n  base: layout:base@sha256:{'0' * 64}\n",
        "3:9: bake.base:",
    ),
    "a secret's place": (
        "bake:\n",
        "bake:\n  environment: {MY-NAME: x}\n",
        "3:17: bake.environment.MY-NAME: found 'MY-NAME'; allowed: a text (letters, digits and underscores)",
    ),
    "a port of one's own": (
        "bake:\n",
        "bake:\n  environment: {PORT: '80'}\n",
        "3:23: bake.environment.PORT: the platform sets PORT; remove it",
    ),
    "a password in an address": (
        "interval_seconds: 5",
        "interval_seconds: 5\n    metrics: {url: 'http://me:secret@prometheus:9090'}",
        "15:20: environments[0].metrics.url: found a user, a query or a fragment in it",
    ),
    "a rate for a counter": (
        "interval_seconds: 5",
        "interval_seconds: 5\n    metrics: {url: 'http://p', requests: 'rate(a[5m])', failures: b}",
        (
            "15:42: environments[0].metrics.requests: found 'rate(a[5m])'; allowed: a text (a metric with labels, such as"
            ' http_requests_total{code=~"5.."}; without rate() or sum()'
        ),
    ),
    "half of two counters": (
        "interval_seconds: 5",
        "interval_seconds: 5\n    metrics: {url: 'http://p', requests: a}",
        "15:5: environments[0].metrics.failures: `requests` and `failures` belong together",
    ),
    "an exporter that is unknown": (
        "interval_seconds: 5",
        "interval_seconds: 5\n    metrics: {url: 'http://p', exporter: isto}",
        "15:42: environments[0].metrics.exporter: found 'isto', did you mean `istio`?; allowed: http-server or",
    ),
    "an SLI of an unknown kind": (
        "service: hello",
        "service: hello\nslis: [{name: paid, kind: rate}]",
        "2:8: slis[0]: found kind 'rate', did you mean `ratio`?; allowed: gauge, histogram, ratio",
    ),
    "an SLI without Prometheus": (
        "service: hello",
        "service: hello\nslis: [{name: queue, kind: gauge, query: q}]",
        "2:7: slis: they are asked of Prometheus, but no environment has `metrics`",
    ),
    "a file that is not there": (
        "hello.py: /app",
        "helo.py: /app",
        "4:5: bake.files: 'helo.py' does not exist beside service.yaml",
    ),
    "a file elsewhere": ("hello.py: /app", "../hello.py: /app", "4:18: bake.files.../hello.py: "),
    "a file to nowhere": (
        "hello.py: /app",
        "hello.py: app",
        "4:15: bake.files.hello.py: 'app/hello.py' must be an absolute path in the artifact",
    ),
    "two files in one place": (
        "    hello.py: /app/hello.py\n",
        "    hello.py: /app/hello.py\n    service.yaml: /app//hello.py\n",
        "5:19: bake.files.service.yaml: 'hello.py' goes to '/app//hello.py' already",
    ),
    "requirements that are not there": (
        "bake:\n",
        "bake:\n  requirements: locked.txt\n",
        "3:17: bake.requirements: 'locked.txt' does not exist beside service.yaml",
    ),
}
