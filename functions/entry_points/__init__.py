"""What a cloud calls: decodes what it brings, hands it to the runtime or the API, and answers as that cloud expects."""
