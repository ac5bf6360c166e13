// The app's own OpenTelemetry, as its README says to start it.
process.env.OTEL_TRACES_EXPORTER = 'console';
process.env.OTEL_METRICS_EXPORTER = 'none';
process.env.OTEL_LOGS_EXPORTER = 'none';
process.env.OTEL_NODE_ENABLED_INSTRUMENTATIONS = 'http,undici,express';
process.env.OTEL_LOG_LEVEL = 'none';
process.env.OTEL_NODE_RESOURCE_DETECTORS = 'none';
require('@opentelemetry/auto-instrumentations-node/register');
