package httpd

func (c *call) ingest() error { return nil }
