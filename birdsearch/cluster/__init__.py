"""An index beyond one machine: what needs Ray, Milvus or object storage. The extra `cluster` installs those."""
