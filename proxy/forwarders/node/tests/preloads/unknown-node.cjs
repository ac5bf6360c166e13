// A Node of later years.
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '25.0.0' } });
