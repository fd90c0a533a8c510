package main

import "context"

func runBrowser(context.Context, *env) error { return nil }
func runNode(context.Context, *env) error    { return nil }
func runSize(context.Context, *env) error    { return nil }
