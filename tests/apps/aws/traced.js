// Traced: a service that has tracing of its own, which puts its context into a request before the SDK
// signs it. So the context is one of the signed headers.

const dynamo = require("@aws-sdk/client-dynamodb");
const s3 = require("@aws-sdk/client-s3");
const sqs = require("@aws-sdk/client-sqs");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const { Handler, agent, request } = require("./http-proxy.js");

// One context a call, as a span a call would give.
let calls = 0;
function context() {
  calls += 1;
  const span = calls.toString(16).padStart(16, "0");
  return {
    traceparent: `00-0af7651916cd43dd8448eb211c80319c-${span}-01`,
    tracestate: "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
    baggage: "user=7",
  };
}

let headers;
const inject = (next) => (call) => {
  headers = context();
  Object.assign(call.request.headers, headers);
  return next(call);
};

function traced(Client) {
  const client = new Client({ requestHandler: new Handler(), forcePathStyle: true });
  client.middlewareStack.add(inject, { step: "build" });
  return client;
}

async function main() {
  const objects = traced(s3.S3Client);
  await objects.send(new s3.CreateBucketCommand({ Bucket: "traced" }));
  await objects.send(new s3.PutObjectCommand({ Bucket: "traced", Key: "a b", Body: "content" }));
  // A link asks for the context too, and whoever follows it has to send it.
  const link = await getSignedUrl(objects, new s3.GetObjectCommand({ Bucket: "traced", Key: "a b" }));
  const status = await new Promise((resolve, reject) => {
    const follow = request(link, { method: "GET", headers }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    follow.on("error", reject).end();
  });
  if (status !== 200) throw new Error(`the link: ${status}`);
  await traced(dynamo.DynamoDBClient).send(new dynamo.ListTablesCommand({}));
  const queues = traced(sqs.SQSClient);
  const { QueueUrl } = await queues.send(new sqs.CreateQueueCommand({ QueueName: "traced" }));
  await queues.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "message" }));
  console.log(calls);
}

main().then(() => agent.destroy());
