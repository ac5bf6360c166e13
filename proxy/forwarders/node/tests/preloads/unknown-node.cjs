// A Node of later years.
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '99.0.0' } });
