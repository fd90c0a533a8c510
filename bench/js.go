package main

import "context"

func runSize(context.Context, *env) error { return nil }
