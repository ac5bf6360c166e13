'use strict';

// Calls S3 and DynamoDB, at an endpoint in plain text.

const http = require('node:http');
const { DynamoDBClient, GetItemCommand } = require('@aws-sdk/client-dynamodb');
const { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } = require('@aws-sdk/client-s3');
const { listening } = require('./servers.cjs');

const settings = { endpoint: process.env.CLOUD, region: 'eu-west-1' };
const objects = new S3Client({ ...settings, forcePathStyle: true });
const tables = new DynamoDBClient(settings);

const server = http.createServer(async (request, response) => {
  try {
    await objects.send(new PutObjectCommand({ Bucket: 'photos', Key: 'a b', Body: 'content' }));
    await objects.send(new GetObjectCommand({ Bucket: 'photos', Key: 'a/b' }));
    await objects.send(new ListObjectsV2Command({ Bucket: 'photos', Prefix: 'a' }));
    await tables.send(new GetItemCommand({ TableName: 'people', Key: { name: { S: 'a' } } }));
    response.end('fine');
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack));
  }
});
listening(server).then((port) => console.log(JSON.stringify({ port })));
