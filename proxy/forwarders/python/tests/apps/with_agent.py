"""The probe in a process in which something else does the forwarder's job, as $AGENT says."""

import os
import runpy
import sys
import types

agent = os.environ["AGENT"]
if agent == "xray":
    from aws_xray_sdk.core import patch, xray_recorder

    xray_recorder.configure(service="shop", context_missing="IGNORE_ERROR", sampling=False)
    patch(["httplib"])
elif agent == "xray, not patched":
    import aws_xray_sdk.core  # noqa: F401
elif agent == "opentelemetry":
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
elif agent == "opentelemetry, no provider":
    from opentelemetry import trace  # noqa: F401
else:
    sys.modules[agent] = types.ModuleType(agent)
runpy.run_path("probe.py", run_name="__main__")
