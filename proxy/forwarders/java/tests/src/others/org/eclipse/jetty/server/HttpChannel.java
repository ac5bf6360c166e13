package org.eclipse.jetty.server;

/** A class that is edited, as it might be in another version: with nothing in it that the edits look for. */
public interface HttpChannel {}
