"""Archive: keeps scanned receipts in S3, an index of them in DynamoDB, and tells accounting over SQS."""

import hashlib
import io
import json

import boto3
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

BUCKET = "receipts"
ODD_KEY = "a b+c/ü//..x%2F&=?#~'()*!$"
EIGHT_MIB = 8 * 1024 * 1024


class Scanner(io.RawIOBase):
    """Gives its bytes once, in pieces, and says neither how many there are nor where it is."""

    def __init__(self, length):
        self.left = length

    def readable(self):
        return True

    def read(self, size=-1):
        size = min(self.left, 50_000 if size < 0 else size)
        self.left -= size
        return b"s" * size


def digest(content):
    return hashlib.sha256(content).hexdigest()


def objects():
    s3 = boto3.client("s3")
    s3.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
    )
    s3.put_object(
        Bucket=BUCKET, Key="tea.txt", Body=b"tea, 3.00", Metadata={"shop": "two  spaces, and a comma"}
    )
    s3.put_object(Bucket=BUCKET, Key=ODD_KEY, Body="Grüße".encode(), ContentType="text/plain")
    s3.put_object(Bucket=BUCKET, Key="nothing", Body=b"")
    in_parts = TransferConfig(multipart_threshold=EIGHT_MIB, use_threads=False)
    s3.upload_fileobj(Scanner(EIGHT_MIB + 70_000), BUCKET, "scan.png", Config=in_parts)
    unsigned = boto3.client("s3", config=Config(s3={"payload_signing_enabled": False}))
    unsigned.put_object(Bucket=BUCKET, Key="unsigned", Body=io.BytesIO(b"u" * 200_000))

    seen = {}
    for key in ("tea.txt", ODD_KEY, "nothing", "scan.png", "unsigned"):
        seen[key] = digest(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    seen["range"] = s3.get_object(Bucket=BUCKET, Key="tea.txt", Range="bytes=0-2")["Body"].read().decode()
    seen["metadata"] = s3.head_object(Bucket=BUCKET, Key="tea.txt")["Metadata"]
    s3.copy_object(Bucket=BUCKET, Key="copy ü", CopySource={"Bucket": BUCKET, "Key": ODD_KEY})
    s3.put_object_tagging(Bucket=BUCKET, Key="tea.txt", Tagging={"TagSet": [{"Key": "a b", "Value": "ü"}]})
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="a b+c/ü/", Delimiter="!", MaxKeys=7)
    seen["listed"] = [entry["Prefix"] for entry in listed.get("CommonPrefixes", [])]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "nothing"}, {"Key": "copy ü"}]})
    seen["left"] = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return seen


def links():
    """What a browser is handed: links that carry their signature."""
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))

    def link(operation, **parameters):
        return s3.generate_presigned_url(operation, Params={"Bucket": BUCKET, **parameters}, ExpiresIn=300)

    kind = "text/plain; charset=utf-8"
    put = link("put_object", Key="by link/ü+1", ContentType=kind)
    requests.put(put, data=b"put by a link", headers={"Content-Type": kind}, timeout=30).raise_for_status()
    disposition = 'attachment; filename="a b.txt"'
    get = link("get_object", Key="by link/ü+1", ResponseContentDisposition=disposition)
    return requests.get(get, timeout=30).text


def index():
    dynamodb = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName="index",
        KeySchema=[{"AttributeName": "shop", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "shop", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"shop": {"S": "Käse"}, "n": {"N": "1"}, "key": {"S": ODD_KEY}}
    dynamodb.put_item(TableName="index", Item=item)
    more = [{"PutRequest": {"Item": {"shop": {"S": "Käse"}, "n": {"N": str(n)}}}} for n in (2, 3)]
    dynamodb.batch_write_item(RequestItems={"index": more})
    got = dynamodb.get_item(TableName="index", Key={"shop": item["shop"], "n": item["n"]})["Item"]
    found = dynamodb.query(
        TableName="index",
        KeyConditionExpression="shop = :shop and n > :n",
        ExpressionAttributeValues={":shop": item["shop"], ":n": {"N": "1"}},
    )
    return [got == item, found["Count"]]


def messages():
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="accounting")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="one, ü")
    own = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
    attribute = {"AWSTraceHeader": {"DataType": "String", "StringValue": own}}
    sqs.send_message(QueueUrl=queue, MessageBody="own", MessageSystemAttributes=attribute)
    entries = [{"Id": str(n), "MessageBody": f"batch {n}"} for n in (1, 2)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    received = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["AWSTraceHeader"]
    )
    return {m["Body"]: m.get("Attributes", {}).get("AWSTraceHeader") for m in received["Messages"]}


print(json.dumps({"objects": objects(), "link": links(), "index": index(), "messages": messages()}))
