import { request } from 'node:http';

export function call(url, id) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { headers: { 'x-call': id } }, (response) => {
      response.resume().on('end', () => resolve('fine'));
    });
    outgoing.on('error', reject).end();
  });
}
