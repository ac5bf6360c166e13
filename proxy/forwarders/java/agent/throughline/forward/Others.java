package throughline.forward;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.jar.JarFile;

/** Whatever else in the process does this job. */
final class Others {
    /** Classes whose loading says that the app traces itself. */
    static final Set<String> TRACERS = new HashSet<>(Arrays.asList(
            "io/opentelemetry/sdk/OpenTelemetrySdk",
            "io/opentelemetry/sdk/trace/SdkTracerProvider",
            "io/opentelemetry/javaagent/OpenTelemetryAgent",
            "io/opentelemetry/javaagent/bootstrap/AgentInitializer",
            "com/amazonaws/xray/AWSXRayRecorder",
            "com/amazonaws/xray/AWSXRay",
            "brave/Tracing",
            "brave/Tracer",
            "io/jaegertracing/internal/JaegerTracer",
            "io/opencensus/implcore/trace/TracerImpl",
            "datadog/trace/bootstrap/Agent",
            "datadog/trace/bootstrap/AgentBootstrap",
            "co/elastic/apm/agent/bci/ElasticApmAgent",
            "co/elastic/apm/agent/premain/AgentMain",
            "com/newrelic/bootstrap/BootstrapAgent",
            "com/newrelic/agent/Agent",
            "org/apache/skywalking/apm/agent/SkyWalkingAgent",
            "com/navercorp/pinpoint/bootstrap/PinpointBootStrap",
            "com/appdynamics/agent/AppDynamicsAgent",
            "com/singularity/ee/agent/appagent/AgentEntryPoint",
            "com/instana/agent/Agent",
            "com/microsoft/applicationinsights/agent/Agent",
            "com/dynatrace/agent/introspection/Collector",
            "org/glowroot/agent/AgentPremain",
            "com/alibaba/arms/apm/Agent"));

    private static final String[] AGENTS = {
        "opentelemetry", "otel", "xray", "x-ray", "datadog", "dd-java-agent", "dd-trace", "elastic-apm", "co.elastic.apm",
        "newrelic", "skywalking", "pinpoint", "appdynamics", "singularity", "instana", "applicationinsights",
        "dynatrace", "oneagent", "glowroot", "honeycomb", "splunk", "lightstep", "solarwinds", "kamon", "scouter",
        "sentry", "apm-agent", "apm_agent",
    };

    private Others() {}

    /** Whether one of the machine's arguments names an agent that traces. */
    static boolean amongArguments(List<String> arguments) {
        for (String argument : arguments) {
            String agent = agent(argument);
            if (agent == null) {
                continue;
            }
            String told = agent.toLowerCase(Locale.ROOT);
            if (argument.startsWith("-javaagent:")) {
                told = file(told) + " " + premain(agent);
            }
            for (String name : AGENTS) {
                if (told.contains(name)) {
                    return true;
                }
            }
        }
        return false;
    }

    private static String agent(String argument) {
        for (String option : new String[] {"-javaagent:", "-agentpath:", "-agentlib:"}) {
            if (argument.startsWith(option)) {
                String value = argument.substring(option.length());
                int equals = value.indexOf('=');
                return equals < 0 ? value : value.substring(0, equals);
            }
        }
        return null;
    }

    /** The name of the file alone: a directory may be called after anything. */
    private static String file(String path) {
        return path.substring(path.replace('\\', '/').lastIndexOf('/') + 1);
    }

    private static String premain(String path) {
        try (JarFile jar = new JarFile(path)) {
            String name = jar.getManifest().getMainAttributes().getValue("Premain-Class");
            return name == null ? "" : name.toLowerCase(Locale.ROOT);
        } catch (Exception unreadable) {
            return "";
        }
    }
}
