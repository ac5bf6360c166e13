// Photos: keeps pictures in S3, what is on them in DynamoDB, and has thumbnails made over SQS.

const { createHash } = require("node:crypto");
const { Readable } = require("node:stream");
const { buffer, text } = require("node:stream/consumers");

const dynamo = require("@aws-sdk/client-dynamodb");
const s3 = require("@aws-sdk/client-s3");
const sqs = require("@aws-sdk/client-sqs");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const { Handler, agent, request } = require("./http-proxy.js");

const options = { requestHandler: new Handler() };

const Bucket = "photos";
const oddKey = "a b+c/ü//..x%2F&=?#~'()*!$";
const eightMiB = 8 * 1024 * 1024;

const digest = (content) => createHash("sha256").update(content).digest("hex");

async function* camera(length) {
  for (let left = length; left > 0; left -= 50_000) {
    yield Buffer.alloc(Math.min(left, 50_000), "p");
  }
}

async function objects() {
  const client = new s3.S3Client({ ...options, forcePathStyle: true });
  const put = (Key, Body, more) => client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));
  await client.send(new s3.CreateBucketCommand({ Bucket }));
  await put("cat.txt", "a cat", { Metadata: { camera: "two  spaces, and a comma" } });
  await put(oddKey, Buffer.from("Grüße"), { ContentType: "text/plain" });
  await put("nothing", "");
  // A stream is sent in chunks of `aws-chunked`, with its checksum after them.
  await put("stream", Readable.from(camera(200_000)), { ContentLength: 200_000 });
  await put("sha256", Readable.from(camera(70_000)), { ContentLength: 70_000, ChecksumAlgorithm: "SHA256" });
  // And one of an unknown length in parts.
  const Body = Readable.from(camera(eightMiB + 70_000));
  const params = { Bucket, Key: "video", Body };
  await new Upload({ client, params, partSize: eightMiB, queueSize: 1 }).done();

  const seen = {};
  const get = (Key, more) => client.send(new s3.GetObjectCommand({ Bucket, Key, ...more }));
  for (const key of ["cat.txt", oddKey, "nothing", "stream", "sha256", "video"]) {
    seen[key] = digest(await buffer((await get(key)).Body));
  }
  seen.range = await text((await get("cat.txt", { Range: "bytes=2-4" })).Body);
  seen.metadata = (await client.send(new s3.HeadObjectCommand({ Bucket, Key: "cat.txt" }))).Metadata;
  const CopySource = encodeURIComponent(`${Bucket}/${oddKey}`);
  await client.send(new s3.CopyObjectCommand({ Bucket, Key: "copy ü", CopySource }));
  const query = { Bucket, Prefix: "a b+c/ü/", Delimiter: "!", MaxKeys: 7 };
  const listed = await client.send(new s3.ListObjectsV2Command(query));
  seen.listed = listed.CommonPrefixes.map((entry) => entry.Prefix);
  const Delete = { Objects: [{ Key: "nothing" }, { Key: "copy ü" }] };
  await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete }));
  const left = await client.send(new s3.ListObjectsV2Command({ Bucket }));
  seen.left = left.Contents.map((entry) => entry.Key);
  return seen;
}

// What a browser is handed: links that carry their signature.
async function links() {
  const client = new s3.S3Client({ ...options, forcePathStyle: true });
  const key = { Bucket, Key: "by link/ü+1" };
  const put = new s3.PutObjectCommand({ ...key, ContentType: "text/plain; charset=utf-8" });
  const signed = { signableHeaders: new Set(["content-type"]) };
  await ask(await getSignedUrl(client, put, signed), "PUT", "put by a link");
  const get = new s3.GetObjectCommand({ ...key, ResponseContentDisposition: 'attachment; filename="a b.txt"' });
  return ask(await getSignedUrl(client, get), "GET");
}

async function ask(url, method, body) {
  const headers = body ? { "content-type": "text/plain; charset=utf-8", "content-length": body.length } : {};
  const answer = await new Promise((resolve, reject) => {
    request(url, { method, headers }, resolve).on("error", reject).end(body);
  });
  if (answer.statusCode !== 200) throw new Error(`${method}: ${answer.statusCode}`);
  return text(answer);
}

async function index() {
  const client = new dynamo.DynamoDBClient(options);
  const TableName = "index";
  await client.send(new dynamo.CreateTableCommand({
    TableName,
    KeySchema: [{ AttributeName: "album", KeyType: "HASH" }, { AttributeName: "n", KeyType: "RANGE" }],
    AttributeDefinitions: [
      { AttributeName: "album", AttributeType: "S" },
      { AttributeName: "n", AttributeType: "N" },
    ],
    BillingMode: "PAY_PER_REQUEST",
  }));
  const key = { album: { S: "Küche" }, n: { N: "1" } };
  await client.send(new dynamo.PutItemCommand({ TableName, Item: { ...key, key: { S: oddKey } } }));
  const puts = ["2", "3"].map((N) => ({ PutRequest: { Item: { ...key, n: { N } } } }));
  await client.send(new dynamo.BatchWriteItemCommand({ RequestItems: { [TableName]: puts } }));
  const got = await client.send(new dynamo.GetItemCommand({ TableName, Key: key }));
  const found = await client.send(new dynamo.QueryCommand({
    TableName,
    KeyConditionExpression: "album = :album and n > :n",
    ExpressionAttributeValues: { ":album": key.album, ":n": { N: "1" } },
  }));
  return [got.Item.key.S === oddKey, found.Count];
}

async function messages() {
  const client = new sqs.SQSClient(options);
  const { QueueUrl } = await client.send(new sqs.CreateQueueCommand({ QueueName: "thumbnails" }));
  await client.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "one, ü" }));
  const own = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";
  const MessageSystemAttributes = { AWSTraceHeader: { DataType: "String", StringValue: own } };
  await client.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "own", MessageSystemAttributes }));
  const Entries = [1, 2].map((n) => ({ Id: `${n}`, MessageBody: `batch ${n}` }));
  await client.send(new sqs.SendMessageBatchCommand({ QueueUrl, Entries }));
  const { Messages } = await client.send(new sqs.ReceiveMessageCommand({
    QueueUrl,
    MaxNumberOfMessages: 10,
    MessageSystemAttributeNames: ["AWSTraceHeader"],
  }));
  return Object.fromEntries(Messages.map((m) => [m.Body, m.Attributes?.AWSTraceHeader ?? null]));
}

async function main() {
  const seen = { objects: await objects(), link: await links(), index: await index(), messages: await messages() };
  console.log(JSON.stringify(seen));
}

main().then(() => agent.destroy());
