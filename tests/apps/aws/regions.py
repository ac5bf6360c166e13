"""Regions: a bucket that is reached in several regions, so that requests are signed for all (SigV4A)."""

import json

import boto3
import requests
from botocore.config import Config

one = boto3.client("s3")
one.create_bucket(
    Bucket="everywhere", CreateBucketConfiguration={"LocationConstraint": one.meta.region_name}
)
s3 = boto3.client("s3", config=Config(signature_version="s3v4a"))
where = {"Bucket": "everywhere", "Key": "a b+c/ü//..x%2F"}
s3.put_object(**where, Body=b"anywhere", Metadata={"kind": "two  spaces"})
got = s3.get_object(**where)["Body"].read().decode()
link = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=300)
print(json.dumps({"got": got, "link": requests.get(link, timeout=30).text}))
