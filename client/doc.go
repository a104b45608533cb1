// Package client is the Go SDK of arrwDB. It speaks the wire contract over
// net/http and depends on nothing of the server.
//
//	c := client.New("http://127.0.0.1:8080", os.Getenv("ARRWDB_KEY"))
//	_, err := c.CreateLibrary(ctx, client.LibrarySpec{ID: "papers", Embedding: &client.Embedding{Provider: "none"}})
//	_, err = c.PutDocument(ctx, "papers", "doc-1", client.Document{
//		Title:  "Attention is all you need",
//		Chunks: []client.Chunk{{Text: "…", Embedding: vector}},
//	})
//	for event, err := range c.Events(ctx, client.EventOptions{From: "start"}) {
//		…
//	}
//
// What the server refuses is an [*Error] with the stable code of the contract.
// [Client.Events] and [Client.Import] go on by themselves after a lost
// connection or a restart, without a gap and without a duplicate; every other
// call makes one attempt.
package client
